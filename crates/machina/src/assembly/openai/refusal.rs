//! Errors as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}`.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use labour::LabourError;
use serde_json::json;

/// Why a request gets no answer. Whoever paid is not charged for it.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    message: String,
}

/// The type of errors that are the caller's.
const INVALID: &str = "invalid_request_error";
/// The type of errors that are ours.
const OURS: &str = "server_error";

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, kind, code: None, param: None, message: message.into() }
    }

    /// The request is at fault; `param` names its part.
    pub fn bad(param: Option<&str>, message: impl Into<String>) -> Refusal {
        let param = param.map(str::to_string);
        Refusal { param, ..Refusal::new(StatusCode::BAD_REQUEST, INVALID, message) }
    }

    /// What this model cannot do.
    pub fn unsupported(param: &str, message: impl Into<String>) -> Refusal {
        Refusal { code: Some("unsupported_parameter"), ..Refusal::bad(Some(param), message) }
    }

    /// Nobody here is called so.
    pub fn no_such_model(model: &str) -> Refusal {
        let model: String = model.chars().take(100).collect();
        let said = format!("the model `{model}` is not here; GET /v1/models lists what is");
        Refusal {
            code: Some("model_not_found"),
            param: Some("model".into()),
            ..Refusal::new(StatusCode::NOT_FOUND, INVALID, said)
        }
    }

    /// The model of this endpoint has not been fetched.
    pub fn not_here(model: &str) -> Refusal {
        let said = format!(
            "the model `{model}` is not on this machine; its owner can fetch it with `machina models --fetch`"
        );
        Refusal {
            code: Some("model_not_found"),
            ..Refusal::new(StatusCode::NOT_FOUND, INVALID, said)
        }
    }

    /// There is no such endpoint.
    pub fn no_such_route() -> Refusal {
        let said = "there is nothing here; try /v1/models, /v1/chat/completions or /v1/embeddings";
        Refusal { code: Some("unknown_url"), ..Refusal::new(StatusCode::NOT_FOUND, INVALID, said) }
    }

    /// Something was asked by another method.
    pub fn by_post() -> Refusal {
        let said = "this is sold by POST; nothing was charged";
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, said)
    }

    /// More than one request may have.
    pub fn too_many_tokens(tokens: usize, limit: usize) -> Refusal {
        let said = format!(
            "the texts have {tokens} tokens together, at most {limit} are read at once; send them in parts"
        );
        Refusal { code: Some("context_length_exceeded"), ..Refusal::bad(Some("input"), said) }
    }

    /// The machine is at fault.
    pub fn broken(message: &str) -> Refusal {
        let said = format!("{message}; nothing was charged");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, OURS, said)
    }

    /// The error alone, as an event of a stream carries it.
    pub fn json(&self) -> serde_json::Value {
        let Refusal { kind, code, param, message, .. } = self;
        json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
    }
}

impl From<LabourError> for Refusal {
    fn from(error: LabourError) -> Refusal {
        if error.is_busy() {
            let busy = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, OURS, error.to_string());
            return Refusal { code: Some("overloaded"), ..busy };
        }
        if !error.is_input_error() {
            tracing::error!(%error, "a machine is out of order");
            return Refusal::broken("the machine is out of order");
        }
        let code = match error {
            LabourError::ChatTooLong { .. } | LabourError::TextTooLong { .. } => {
                Some("context_length_exceeded")
            }
            _ => None,
        };
        Refusal { code, ..Refusal::bad(None, error.to_string()) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = self.json().to_string();
        let mut response =
            (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from_static("2"));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, http::HeaderValue::from_static("POST"));
        }
        response
    }
}
