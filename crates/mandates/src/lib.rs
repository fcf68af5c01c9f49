//! What a machine may spend, approvals, and the signer
