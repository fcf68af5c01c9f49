//! A way to the chain that fails as it is told.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use chain::Node;
use serde_json::{Value, json};
use settlement::LocalNode;

pub struct Wire {
    node: Node,
    mode: AtomicU8,
}

pub const WELL: u8 = 0;
/// A transaction is mined, and nobody is told.
pub const MUTE: u8 = 1;
/// A transaction is mined and failed, as far as anybody is told.
pub const FAILED: u8 = 2;
/// Nothing can be read.
pub const BLIND: u8 = 3;
/// A transaction would revert, for a reason that is not told.
pub const REFUSING: u8 = 4;
/// Events are not shown.
pub const FORGETFUL: u8 = 5;

impl Wire {
    pub fn to(node: &Node) -> Arc<Wire> {
        Arc::new(Wire { node: node.clone(), mode: AtomicU8::new(WELL) })
    }

    /// From now on it fails like this.
    pub fn is(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

impl LocalNode for Wire {
    fn request(&self, request: Value) -> Pin<Box<dyn Future<Output = Value> + Send>> {
        let method = request["method"].as_str().unwrap_or_default().to_string();
        let (node, mode) = (self.node.clone(), self.mode.load(Ordering::SeqCst));
        Box::pin(async move {
            let refused = |code: i32, message: &str| {
                let error = json!({ "code": code, "message": message });
                json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })
            };
            match (mode, method.as_str()) {
                (BLIND, _) => return json!({ "nonsense": true }),
                (REFUSING, "eth_estimateGas") => return refused(3, "execution reverted"),
                (FORGETFUL, "eth_getLogs") => return refused(-32005, "too much to look through"),
                _ => {}
            }
            let mut answer = node.request(request).await;
            if method == "eth_getTransactionReceipt" && mode == MUTE {
                answer["result"] = Value::Null;
            }
            if method.starts_with("eth_sendRawTransaction") {
                match mode {
                    MUTE => std::future::pending().await,
                    FAILED => answer["result"]["status"] = json!("0x0"),
                    _ => {}
                }
            }
            answer
        })
    }
}
