//! Dense arrays of `f32`, as they travel between weights, pictures and networks.

/// A dense tensor of `f32`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Elements along each dimension; empty for a single number.
    pub shape: Vec<usize>,
    /// The elements, last dimension fastest. As many as the product of `shape`.
    pub data: Vec<f32>,
}
