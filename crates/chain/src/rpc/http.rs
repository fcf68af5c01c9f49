//! JSON-RPC over HTTP: `POST /`, and CORS for browsers.

use super::{answer::failure, error::RpcError};
use crate::node::Node;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::Value;
use tower_http::cors::{Any, CorsLayer};

/// The server. Bodies beyond the limit are refused with 413 before they are read whole.
pub(crate) fn router(node: Node) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST, Method::OPTIONS])
        .allow_headers([header::CONTENT_TYPE]);
    Router::new().route("/", post(serve)).layer(cors).with_state(node)
}

async fn serve(State(node): State<Node>, body: Body) -> Response {
    let limit = node.limits().body_bytes;
    let Ok(body) = to_bytes(body, limit).await else {
        let error = RpcError::invalid_request(format!("request body over {limit} bytes"));
        return json(StatusCode::PAYLOAD_TOO_LARGE, &failure(Value::Null, error));
    };
    match serde_json::from_slice(&body) {
        Ok(request) => match node.request(request).await {
            // Nothing but notifications.
            Value::Null => StatusCode::OK.into_response(),
            answer => json(StatusCode::OK, &answer),
        },
        Err(error) => {
            let error = RpcError::parse(format!("parse error: {error}"));
            json(StatusCode::OK, &failure(Value::Null, error))
        }
    }
}

fn json(status: StatusCode, answer: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}
