//! `/mcp`: what the vision machine sells, as a paid tool for agents (MCP, streamable HTTP).
//!
//! Every call stands alone: no sessions are kept, so none can be exhausted, and the payment is the
//! only thing that a caller must show. Source: `specs/transports-v2/mcp.md` of the x402 Foundation;
//! the protocol's part of it is [`payments::mcp`].
//!
//! Bounds: a request by [`MAX_REQUEST`], calls at once by [`AT_ONCE`], each by [`LONGEST_CALL`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode};
use payments::Offer;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, JsonObject,
    ListToolsResult, PaginatedRequestParams, ResultType, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::util::BoxCloneSyncService;
use tower_http::timeout::TimeoutLayer;

/// Where the tools are.
const PATH: &str = "/mcp";
/// The tool's name.
pub const CLASSIFY: &str = "classify";
/// The largest request, in bytes: a picture in base64, the payment, and some room.
const MAX_REQUEST: usize = labour::picture::MAX_BYTES / 3 * 4 + 128 * 1024;
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// How many calls are worked on at once; each may hold a picture in memory more than once.
const AT_ONCE: usize = 16;
/// How long a call may take: the gate's waits for work and settlement, and the way of a picture.
const LONGEST_CALL: Duration = Duration::from_secs(120);

/// A service behind the gate.
type Paid = BoxCloneSyncService<Request<Body>, Response, Infallible>;

/// The route; `paid` is the service behind the gate, which sells `offer`.
pub fn router(offer: Offer, paid: Paid) -> Router {
    let tools = Tools { offer: Arc::new(offer), paid };
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(MAX_REQUEST);
    let service = StreamableHttpService::new(
        move || Ok(tools.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Router::new()
        .route_service(PATH, service)
        .layer(GlobalConcurrencyLimitLayer::new(AT_ONCE))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, LONGEST_CALL))
}

#[derive(Clone)]
struct Tools {
    offer: Arc<Offer>,
    paid: Paid,
}

/// What `classify` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Classify {
    picture: String,
    top: Option<u16>,
}

impl Tools {
    async fn classify(&self, request: CallToolRequestParams, meta: &JsonObject) -> Value {
        let misuse = |said: String| {
            json!({
                "isError": true,
                "content": [{ "type": "text", "text": said }],
                "structuredContent": { "error": "input_refused", "message": said },
            })
        };
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let asked: Classify = match serde_json::from_value(arguments) {
            Ok(asked) => asked,
            Err(error) => return misuse(format!("`{CLASSIFY}` does not take this: {error}")),
        };
        let Ok(picture) = STANDARD.decode(asked.picture.trim_ascii()) else {
            return misuse("`picture` is not base64; send the file's bytes with padding".into());
        };
        let target = match asked.top {
            Some(top) => format!("/{CLASSIFY}?top={top}"),
            None => format!("/{CLASSIFY}"),
        };
        let call = payments::mcp::Call {
            target: &target,
            media_type: "application/octet-stream",
            body: picture.into(),
            meta: Some(meta),
        };
        let request = match payments::mcp::request(&self.offer, call) {
            Ok(request) => request,
            Err(result) => return result,
        };
        let response =
            self.paid.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        payments::mcp::result(&self.offer, response, MAX_ANSWER).await
    }
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("machina", env!("CARGO_PKG_VERSION")))
            .with_instructions(
                "Tools are paid by x402: without a payment a call answers its price.",
            )
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![tool(&self.offer)]))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        (name == CLASSIFY).then(|| tool(&self.offer))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if request.name != CLASSIFY {
            return Err(ErrorData::invalid_params(
                format!("there is one tool, `{CLASSIFY}`"),
                None,
            ));
        }
        let told = self.classify(request, &context.meta.0.0).await;
        let mut result: CallToolResult = serde_json::from_value(told)
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        result.result_type = Some(ResultType::COMPLETE);
        Ok(result.into())
    }
}

fn tool(offer: &Offer) -> Tool {
    let mut schema = JsonObject::new();
    schema.insert("type".into(), "object".into());
    schema.insert(
        "properties".into(),
        json!({
            "picture": { "type": "string", "description": "The bytes of a JPEG, PNG or WebP file, in base64." },
            "top": { "type": "integer", "minimum": 1, "description": "How many answers; 5 if not said." },
        }),
    );
    schema.insert("required".into(), json!(["picture"]));
    schema.insert("additionalProperties".into(), false.into());
    Tool::new(CLASSIFY, format!("{} It costs {} a call.", offer.description, offer.price), schema)
}
