//! The HTTP server, asked as a browser or a tool would.

use crate::harness::*;
use axum::{
    body::{Body, to_bytes},
    http::{Request, Response, StatusCode, header},
};
use serde_json::{Value, json};
use tower::ServiceExt;

async fn post(body: impl Into<Body>) -> Response<Body> {
    let request = Request::post("/")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ORIGIN, "http://example.com")
        .body(body.into())
        .expect("a request");
    open().router().oneshot(request).await.expect("answers")
}

async fn text(response: Response<Body>) -> String {
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    String::from_utf8(body.to_vec()).expect("text")
}

async fn parsed(response: Response<Body>) -> Value {
    serde_json::from_str(&text(response).await).expect("json")
}

#[tokio::test]
async fn a_request_is_answered_with_json_for_any_origin() {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [] });
    let response = post(request.to_string()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let expected = json!({ "jsonrpc": "2.0", "id": 1, "result": "0x623e2" });
    assert_eq!(parsed(response).await, expected);
}

#[tokio::test]
async fn a_browser_may_ask_first() {
    let request = Request::options("/")
        .header(header::ORIGIN, "http://example.com")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type")
        .body(Body::empty())
        .expect("a request");
    let response = open().router().oneshot(request).await.expect("answers");
    assert_eq!(response.status(), StatusCode::OK);
    let allowed = response.headers()[header::ACCESS_CONTROL_ALLOW_METHODS].to_str();
    assert!(allowed.expect("text").contains("POST"));
}

#[tokio::test]
async fn a_body_that_is_not_json_is_a_parse_error() {
    let deep = "[".repeat(100_000);
    for body in ["", "{", "not json", "{\"jsonrpc\":\"2.0\"", "\u{0}", deep.as_str()] {
        let response = post(body.to_owned()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let answer = parsed(response).await;
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32700), &Value::Null));
    }
}

#[tokio::test]
async fn an_oversized_body_is_refused() {
    let response = post(vec![b' '; (5 << 20) + 1]).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(parsed(response).await["error"]["code"], -32600);
    let mut fits = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" }).to_string();
    fits.push_str(&" ".repeat((5 << 20) - fits.len()));
    assert_eq!(post(fits).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn notifications_get_an_empty_answer() {
    let response = post(json!({ "jsonrpc": "2.0", "method": "eth_chainId" }).to_string()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let request = Request::get("/").body(Body::empty()).expect("a request");
    let response = open().router().oneshot(request).await.expect("answers");
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}
