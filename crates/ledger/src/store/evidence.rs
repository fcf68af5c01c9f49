//! The documents of the why-trail: what was quoted, signed, answered, settled.

use money::Timestamp;

use crate::id::Reference;
use crate::operation::Reason;

/// The largest body of one piece of evidence, in bytes: 16 MiB.
pub const MAX_EVIDENCE_BODY: usize = 16 << 20;
/// The most pieces of evidence that may come with one write.
pub const MAX_EVIDENCE_PIECES: usize = 64;
const MAX_STAGE: usize = 32;
const MAX_MEDIA_TYPE: usize = 128;

/// A document that explains an economic act. It is stored once and never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The act; not [`Reference::NONE`].
    pub reference: Reference,
    /// Which step of the act it documents, for instance `quote`: 1 to 32 characters. There is
    /// one document for each step of an act.
    pub stage: String,
    /// What the body is, for instance `application/json`: 1 to 128 characters.
    pub media_type: String,
    /// The document, at most [`MAX_EVIDENCE_BODY`] bytes.
    pub body: Vec<u8>,
}

/// Evidence as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvidence {
    /// The document.
    pub evidence: Evidence,
    /// When it was stored.
    pub at: Timestamp,
}

impl Evidence {
    pub(super) fn check(&self) -> Result<(), Reason> {
        let within = |text: &str, most: usize| {
            !text.is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control)
        };
        let problem = if self.reference.is_none() {
            "it belongs to no act; give it the act's reference"
        } else if !within(&self.stage, MAX_STAGE) {
            "its stage must have 1 to 32 printable characters"
        } else if !within(&self.media_type, MAX_MEDIA_TYPE) {
            "its media type must have 1 to 128 printable characters"
        } else if self.body.len() > MAX_EVIDENCE_BODY {
            "its body is larger than 16 MiB"
        } else {
            return Ok(());
        };
        Err(Reason::EvidenceInvalid { stage: self.stage.chars().take(40).collect(), problem })
    }
}
