//! What the books promise: the reasons in their order, the laws that no history can break.

mod encodings;
pub(crate) mod model;
mod properties;
mod reasons;
