//! What both sides keep in the journal: documents, and digests that tie them to requests.

use ledger::{Evidence, MAX_EVIDENCE_BODY, Reference};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The largest body that can be kept, in bytes; nothing larger is sold or taken in.
pub(crate) const MAX_BODY: usize = MAX_EVIDENCE_BODY;

/// The media type of bytes that nobody describes.
pub(crate) const BYTES: &str = "application/octet-stream";

/// The longest media type that is kept, in characters (the ledger's own bound).
const MAX_MEDIA_TYPE: usize = 128;

/// A document in JSON.
pub(crate) fn json<T: Serialize>(reference: Reference, stage: &str, value: &T) -> Evidence {
    // Room for most, at once: a vector that grows by doubling is copied five times on the way.
    let mut body = Vec::with_capacity(1536);
    serde_json::to_writer(&mut body, value).expect("documents are plain data");
    Evidence { reference, stage: stage.into(), media_type: "application/json".into(), body }
}

/// A body as it came. A media type that cannot be kept counts as none: strangers choose it.
pub(crate) fn body(
    reference: Reference,
    stage: &str,
    media_type: Option<&str>,
    body: &[u8],
) -> Evidence {
    let good = |text: &&str| {
        !text.is_empty()
            && text.chars().count() <= MAX_MEDIA_TYPE
            && !text.chars().any(char::is_control)
    };
    Evidence {
        reference,
        stage: stage.into(),
        media_type: media_type.filter(good).unwrap_or(BYTES).into(),
        body: body.to_vec(),
    }
}

/// SHA-256 over the parts, each after its length, so that no two lists of parts meet.
pub(crate) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
