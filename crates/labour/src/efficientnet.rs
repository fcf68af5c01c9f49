//! EfficientNet-Lite0, 1 and 2: from weights to a graph.
//!
//! M. Tan, Q. V. Le, *EfficientNet* (ICML 2019), in the *Lite* variant of the TensorFlow TPU models
//! (`models/official/efficientnet/lite`): no squeeze-and-excitation, ReLU6 for swish, stem and head
//! of fixed width. A block is: expand by a 1×1 convolution (unless the factor is 1), a depthwise
//! k×k convolution, project by a 1×1 convolution without activation; plus the block's input, where
//! shape allows.
//!
//! Batch normalisation is folded into the convolution before it: with scale γ, shift β, running mean
//! μ and variance σ² per channel and ε = 10⁻³, `w' = w·γ/√(σ²+ε)` and `b' = β − μ·γ/√(σ²+ε)`,
//! computed in `f64` and rounded once. Padding is TensorFlow's SAME: with stride s, kernel k and
//! input size n, `max((⌈n/s⌉−1)·s + k − n, 0)` in all, the odd one at the bottom and the right.
//!
//! The larger ones see more pixels, repeat blocks more often (⌈depth · repeats⌉, but for the first and
//! the last stage) and are wider (width · channels, to the nearest multiple of 8, and no less than 0.9
//! of it; not in the stem and the head).
//!
//! Input: `picture`, 1×3×side×side, RGB planes, `(x − 127) / 128`. Output: `logits`, 1×1000.

use std::collections::BTreeMap;

use crate::LabourError;
use crate::onnx::{Attribute, Graph, Wire};
use crate::tensor::Tensor;

/// Width and height of the smallest network's input, pixels.
pub const SIDE: usize = 224;
/// How many classes the network tells apart.
pub const CLASSES: usize = 1000;

/// ε of the batch normalisation.
const EPSILON: f64 = 1e-3;

/// Which of the networks. Each is a rival of the others: dearer, and better on ImageNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// 224 pixels a side, 4.7 million weights.
    Lite0,
    /// 240 pixels a side, 5.4 million weights.
    Lite1,
    /// 260 pixels a side, 6.1 million weights.
    Lite2,
}

impl Variant {
    /// All of them, the cheapest first.
    pub const ALL: [Variant; 3] = [Variant::Lite0, Variant::Lite1, Variant::Lite2];

    /// The name of its manifest, and of the network.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Lite0 => "efficientnet-lite0",
            Variant::Lite1 => "efficientnet-lite1",
            Variant::Lite2 => "efficientnet-lite2",
        }
    }

    /// Width and height of its input, pixels.
    pub fn side(self) -> usize {
        match self {
            Variant::Lite0 => SIDE,
            Variant::Lite1 => 240,
            Variant::Lite2 => 260,
        }
    }

    /// Repeats of a stage: times 1, 1.1 or 1.2, rounded up; in tenths, to be exact.
    fn repeats(self, stage: usize) -> usize {
        let tenths = match self {
            Variant::Lite0 => 10,
            Variant::Lite1 => 11,
            Variant::Lite2 => 12,
        };
        let outer = stage == 0 || stage == STAGES.len() - 1;
        let repeats = STAGES[stage].repeats;
        if outer { repeats } else { (repeats * tenths).div_ceil(10) }
    }

    /// Channels of a stage: times 1 or 1.1, to a multiple of 8.
    fn width(self, stage: usize) -> usize {
        let tenths = STAGES[stage].width * if self == Variant::Lite2 { 11 } else { 10 };
        let near = ((tenths + 40) / 80 * 8).max(8);
        // No less than nine tenths of what was meant.
        if near * 100 < tenths * 9 { near + 8 } else { near }
    }
}

/// A run of equal blocks; only the first has the stride, and only the first changes the width.
struct Stage {
    repeats: usize,
    kernel: usize,
    stride: usize,
    expand: usize,
    width: usize,
}

const STEM: usize = 32;
const HEAD: usize = 1280;
const STAGES: [Stage; 7] = [
    Stage { repeats: 1, kernel: 3, stride: 1, expand: 1, width: 16 },
    Stage { repeats: 2, kernel: 3, stride: 2, expand: 6, width: 24 },
    Stage { repeats: 2, kernel: 5, stride: 2, expand: 6, width: 40 },
    Stage { repeats: 3, kernel: 3, stride: 2, expand: 6, width: 80 },
    Stage { repeats: 3, kernel: 5, stride: 1, expand: 6, width: 112 },
    Stage { repeats: 4, kernel: 5, stride: 2, expand: 6, width: 192 },
    Stage { repeats: 1, kernel: 3, stride: 1, expand: 6, width: 320 },
];

/// One convolution with the normalisation that follows it.
struct Layer<'a> {
    conv: &'a str,
    norm: &'a str,
    from: usize,
    to: usize,
    kernel: usize,
    stride: usize,
    depthwise: bool,
    relu6: bool,
}

/// Writes the network as an ONNX model.
///
/// # Errors
/// [`LabourError::MissingWeight`] if a tensor is not there, or has another shape.
pub fn build(variant: Variant, weights: &BTreeMap<String, Tensor>) -> Result<Vec<u8>, LabourError> {
    let side = variant.side();
    let (graph, picture) = Graph::new(variant.name(), "picture", &[1, 3, side, side]);
    let mut net = Net { weights, graph, size: side, clip: None };

    let stem = Layer {
        conv: "_conv_stem",
        norm: "_bn0",
        from: 3,
        to: STEM,
        kernel: 3,
        stride: 2,
        depthwise: false,
        relu6: true,
    };
    let mut wire = net.layer(&picture, &stem)?;
    let mut width = STEM;
    let mut number = 0;
    for (index, stage) in STAGES.iter().enumerate() {
        for repeat in 0..variant.repeats(index) {
            let stride = if repeat == 0 { stage.stride } else { 1 };
            let to = variant.width(index);
            wire = net.block(&wire, number, stage, (width, to), stride)?;
            width = to;
            number += 1;
        }
    }
    let head = Layer {
        conv: "_conv_head",
        norm: "_bn1",
        from: width,
        to: HEAD,
        kernel: 1,
        stride: 1,
        depthwise: false,
        relu6: true,
    };
    wire = net.layer(&wire, &head)?;
    wire = net.graph.node("GlobalAveragePool", &[&wire], &[]);
    wire = net.graph.node("Flatten", &[&wire], &[Attribute::Int("axis", 1)]);
    let matrix = net.weight("_fc.weight", &[CLASSES, HEAD])?;
    let matrix = net.graph.constant("_fc.weight", &[CLASSES, HEAD], matrix);
    let bias = net.weight("_fc.bias", &[CLASSES])?;
    let bias = net.graph.constant("_fc.bias", &[CLASSES], bias);
    wire = net.graph.node("Gemm", &[&wire, &matrix, &bias], &[Attribute::Int("transB", 1)]);
    Ok(net.graph.finish(&wire, "logits", &[1, CLASSES]))
}

/// The network so far.
struct Net<'w> {
    weights: &'w BTreeMap<String, Tensor>,
    graph: Graph,
    /// Width and height at this place, pixels.
    size: usize,
    /// The bounds 0 and 6, once written.
    clip: Option<(Wire, Wire)>,
}

impl<'w> Net<'w> {
    fn block(
        &mut self,
        input: &Wire,
        number: usize,
        stage: &Stage,
        (from, to): (usize, usize),
        stride: usize,
    ) -> Result<Wire, LabourError> {
        let name = |part: &str| format!("_blocks.{number}.{part}");
        let inner = from * stage.expand;
        let mut wire = input.clone();
        if stage.expand != 1 {
            let expand = Layer {
                conv: &name("_expand_conv"),
                norm: &name("_bn0"),
                from,
                to: inner,
                kernel: 1,
                stride: 1,
                depthwise: false,
                relu6: true,
            };
            wire = self.layer(&wire, &expand)?;
        }
        let depthwise = Layer {
            conv: &name("_depthwise_conv"),
            norm: &name("_bn1"),
            from: inner,
            to: inner,
            kernel: stage.kernel,
            stride,
            depthwise: true,
            relu6: true,
        };
        wire = self.layer(&wire, &depthwise)?;
        let project = Layer {
            conv: &name("_project_conv"),
            norm: &name("_bn2"),
            from: inner,
            to,
            kernel: 1,
            stride: 1,
            depthwise: false,
            relu6: false,
        };
        wire = self.layer(&wire, &project)?;
        if stride == 1 && from == to {
            wire = self.graph.node("Add", &[&wire, input], &[]);
        }
        Ok(wire)
    }

    /// A convolution with its normalisation folded in, and ReLU6 if wanted.
    fn layer(&mut self, input: &Wire, layer: &Layer) -> Result<Wire, LabourError> {
        let Layer { conv, norm, from, to, kernel, stride, .. } = *layer;
        let (inputs, groups) = if layer.depthwise { (1, from) } else { (from, 1) };
        let shape = [to, inputs, kernel, kernel];
        let (weight, bias) = self.folded(conv, norm, &shape)?;

        let output_size = self.size.div_ceil(stride);
        let padding = ((output_size - 1) * stride + kernel).saturating_sub(self.size) as u64;
        let (before, after) = (padding / 2, padding - padding / 2);
        self.size = output_size;

        let weight = self.graph.constant(&format!("{conv}.weight"), &shape, &weight);
        let bias = self.graph.constant(&format!("{conv}.bias"), &[to], &bias);
        let (k, s) = (kernel as u64, stride as u64);
        let attributes = [
            Attribute::Int("group", groups as u64),
            Attribute::Ints("kernel_shape", &[k, k]),
            Attribute::Ints("pads", &[before, before, after, after]),
            Attribute::Ints("strides", &[s, s]),
        ];
        let wire = self.graph.node("Conv", &[input, &weight, &bias], &attributes);
        Ok(if layer.relu6 { self.relu6(&wire) } else { wire })
    }

    fn relu6(&mut self, input: &Wire) -> Wire {
        let graph = &mut self.graph;
        let (zero, six) = self.clip.get_or_insert_with(|| {
            (graph.constant("zero", &[], &[0.0]), graph.constant("six", &[], &[6.0]))
        });
        graph.node("Clip", &[input, zero, six], &[])
    }

    /// Weights and bias of a convolution with the normalisation after it folded in.
    fn folded(
        &self,
        conv: &str,
        norm: &str,
        shape: &[usize; 4],
    ) -> Result<(Vec<f32>, Vec<f32>), LabourError> {
        let channels = [shape[0]];
        let gamma = self.weight(&format!("{norm}.weight"), &channels)?;
        let beta = self.weight(&format!("{norm}.bias"), &channels)?;
        let mean = self.weight(&format!("{norm}.running_mean"), &channels)?;
        let variance = self.weight(&format!("{norm}.running_var"), &channels)?;
        let mut weight = self.weight(&format!("{conv}.weight"), shape)?.to_vec();
        let mut bias = Vec::with_capacity(shape[0]);
        let each = shape[1] * shape[2] * shape[3];
        for (channel, kernel) in weight.chunks_exact_mut(each).enumerate() {
            let of = |values: &[f32]| f64::from(values[channel]);
            let factor = of(gamma) / (of(variance) + EPSILON).sqrt();
            kernel.iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
            bias.push((of(beta) - of(mean) * factor) as f32);
        }
        Ok((weight, bias))
    }

    /// A tensor by name, if it has this shape.
    fn weight(&self, name: &str, shape: &[usize]) -> Result<&'w [f32], LabourError> {
        match self.weights.get(name) {
            Some(tensor) if tensor.shape == shape => Ok(&tensor.data),
            _ => Err(LabourError::MissingWeight { name: name.to_owned(), shape: shape.to_vec() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_is_as_the_table_says_and_the_largest_is_wider_and_deeper() {
        for (index, stage) in STAGES.iter().enumerate() {
            let small = (Variant::Lite0.repeats(index), Variant::Lite0.width(index));
            assert_eq!(small, (stage.repeats, stage.width));
        }
        let large: Vec<_> =
            (0..7).map(|i| (Variant::Lite2.repeats(i), Variant::Lite2.width(i))).collect();
        assert_eq!(large, [(1, 16), (3, 24), (3, 48), (4, 88), (4, 120), (5, 208), (1, 352)]);
    }

    #[test]
    fn weights_that_are_not_there_are_named() {
        let error = build(Variant::Lite0, &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("_bn0.weight"), "{error}");
        assert!(!error.is_input_error());
    }
}
