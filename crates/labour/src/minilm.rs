//! MiniLM, a BERT of six layers: from weights to a graph.
//!
//! J. Devlin and others, *BERT* (NAACL 2019), §3, in the measures of all-MiniLM-L6-v2: 384 numbers a
//! token, 12 heads of 32, 1536 in between. A layer is, on the rows `x` (one a token):
//!
//! ```text
//! q, k, v = x·Wq + bq, x·Wk + bk, x·Wv + bv      in 12 heads
//! x = norm(x + softmax(q·kᵀ / √32)·v·Wo + bo)
//! x = norm(x + gelu(x·W1 + b1)·W2 + b2)          gelu(t) = t/2·(1 + erf(t/√2))
//! ```
//!
//! The factor 1/√32 is folded into Wq and bq, in `f64`, rounded once. In front of the first layer a
//! token's row is the norm of its word's, its place's and the segment's rows, added in that order; the
//! words' table is large and used a few rows at a time, so that addition is [`Table`]'s, and the graph
//! begins after it. After the last layer the mean of all rows is the text's.
//!
//! Input: `rows`, tokens×384. Output: `meaning`, 384 numbers, not yet of length one.

use safetensors::{Dtype, SafeTensors};

use crate::LabourError;
use crate::onnx::{Attribute, Graph, Wire};
use crate::tensor::Tensor;

/// Numbers a token, and of the answer.
pub(crate) const WIDTH: usize = 384;
/// The most tokens: there are so many places.
pub(crate) const PLACES: usize = 512;

const LAYERS: usize = 6;
const HEADS: usize = 12;
const INNER: usize = 1536;
const WORDS: usize = 30_522;
const SEGMENTS: usize = 2;
/// ε of the norms.
const EPSILON: f32 = 1e-12;

/// The weights as they lie in their file.
pub(crate) struct Weights<'f> {
    tensors: SafeTensors<'f>,
}

impl<'f> Weights<'f> {
    /// Reads the directory of a safetensors file.
    pub(crate) fn read(file: &'f [u8], name: &str) -> Result<Self, LabourError> {
        let tensors = SafeTensors::deserialize(file).map_err(|e| LabourError::BrokenModel {
            file: name.to_owned(),
            reason: e.to_string(),
        })?;
        Ok(Weights { tensors })
    }

    /// A tensor by name, if it is of `f32` and has this shape.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LabourError> {
        let missing =
            || LabourError::MissingWeight { name: name.to_owned(), shape: shape.to_vec() };
        let tensor = self.tensors.tensor(name).map_err(|_| missing())?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            return Err(missing());
        }
        let number = |bytes: &[u8]| bytes.try_into().map_or(f32::NAN, f32::from_le_bytes);
        Ok(tensor.data().chunks_exact(4).map(number).collect())
    }
}

/// The rows of words and places.
pub(crate) struct Table {
    words: Vec<f32>,
    /// Place and segment, which is always the first.
    places: Vec<f32>,
    segment: Vec<f32>,
}

impl Table {
    /// Takes the tables out of the weights.
    pub(crate) fn of(weights: &Weights<'_>) -> Result<Self, LabourError> {
        let table = |name: &str, rows: usize| {
            weights.tensor(&format!("embeddings.{name}_embeddings.weight"), &[rows, WIDTH])
        };
        let mut segment = table("token_type", SEGMENTS)?;
        segment.truncate(WIDTH);
        Ok(Table { words: table("word", WORDS)?, places: table("position", PLACES)?, segment })
    }

    /// The rows of a text. `None` if there are more tokens than places, or one that is no word.
    pub(crate) fn rows(&self, tokens: &[u32]) -> Option<Tensor> {
        if tokens.is_empty() || tokens.len() > PLACES {
            return None;
        }
        let mut data = Vec::with_capacity(tokens.len() * WIDTH);
        for (&token, place) in tokens.iter().zip(self.places.chunks_exact(WIDTH)) {
            let at = usize::try_from(token).ok()?.checked_mul(WIDTH)?;
            let word = self.words.get(at..at + WIDTH)?;
            let sums = word.iter().zip(&self.segment).zip(place);
            data.extend(sums.map(|((word, segment), place)| word + segment + place));
        }
        Some(Tensor { shape: vec![tokens.len(), WIDTH], data })
    }
}

/// Writes the network as an ONNX model.
///
/// # Errors
/// [`LabourError::MissingWeight`] if a tensor is not there, or has another shape.
pub(crate) fn build(weights: &Weights<'_>) -> Result<Vec<u8>, LabourError> {
    let (mut graph, rows) = Graph::of_rows("all-MiniLM-L6-v2", "rows", WIDTH);
    // 0: as long as it is.
    let heads = [0, HEADS as i64, (WIDTH / HEADS) as i64];
    let shared = Shared {
        heads: graph.numbers("heads", &heads),
        whole: graph.numbers("whole", &[0, WIDTH as i64]),
        root: graph.constant("root", &[], &[std::f32::consts::SQRT_2]),
        one: graph.constant("one", &[], &[1.0]),
        half: graph.constant("half", &[], &[0.5]),
    };
    let mut net = Net { weights, graph, shared };
    let mut wire = net.norm(&rows, "embeddings.LayerNorm")?;
    for layer in 0..LAYERS {
        wire = net.layer(&wire, &format!("encoder.layer.{layer}"))?;
    }
    let axes = [Attribute::Ints("axes", &[0]), Attribute::Int("keepdims", 0)];
    wire = net.graph.node("ReduceMean", &[&wire], &axes);
    Ok(net.graph.finish(&wire, "meaning", &[WIDTH]))
}

/// Constants that every layer uses.
struct Shared {
    heads: Wire,
    whole: Wire,
    root: Wire,
    one: Wire,
    half: Wire,
}

/// The network so far.
struct Net<'w> {
    weights: &'w Weights<'w>,
    graph: Graph,
    shared: Shared,
}

impl Net<'_> {
    fn layer(&mut self, input: &Wire, name: &str) -> Result<Wire, LabourError> {
        let attention = format!("{name}.attention");
        let scale = 1.0 / ((WIDTH / HEADS) as f64).sqrt();
        let queries =
            self.dense(input, &format!("{attention}.self.query"), (WIDTH, WIDTH), scale)?;
        let keys = self.dense(input, &format!("{attention}.self.key"), (WIDTH, WIDTH), 1.0)?;
        let values = self.dense(input, &format!("{attention}.self.value"), (WIDTH, WIDTH), 1.0)?;
        let queries = self.in_heads(&queries, &[1, 0, 2]);
        let keys = self.in_heads(&keys, &[1, 2, 0]);
        let values = self.in_heads(&values, &[1, 0, 2]);
        let scores = self.graph.node("MatMul", &[&queries, &keys], &[]);
        let shares = self.graph.node("Softmax", &[&scores], &[Attribute::Int("axis", 2)]);
        let seen = self.graph.node("MatMul", &[&shares, &values], &[]);
        let seen = self.graph.node("Transpose", &[&seen], &[Attribute::Ints("perm", &[1, 0, 2])]);
        let seen = self.graph.node("Reshape", &[&seen, &self.shared.whole], &[]);
        let output = format!("{attention}.output");
        let seen = self.dense(&seen, &format!("{output}.dense"), (WIDTH, WIDTH), 1.0)?;
        let sum = self.graph.node("Add", &[&seen, input], &[]);
        let attended = self.norm(&sum, &format!("{output}.LayerNorm"))?;

        let inner =
            self.dense(&attended, &format!("{name}.intermediate.dense"), (WIDTH, INNER), 1.0)?;
        let inner = self.gelu(&inner);
        let outer = self.dense(&inner, &format!("{name}.output.dense"), (INNER, WIDTH), 1.0)?;
        let sum = self.graph.node("Add", &[&outer, &attended], &[]);
        self.norm(&sum, &format!("{name}.output.LayerNorm"))
    }

    /// `x·Wᵀ + b`, both times `scale`.
    fn dense(
        &mut self,
        input: &Wire,
        name: &str,
        (from, to): (usize, usize),
        scale: f64,
    ) -> Result<Wire, LabourError> {
        let scaled = |values: Vec<f32>| -> Vec<f32> {
            values.into_iter().map(|v| (f64::from(v) * scale) as f32).collect()
        };
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let values = scaled(self.weights.tensor(&weight, &[to, from])?);
        let weight = self.graph.constant(&weight, &[to, from], &values);
        let values = scaled(self.weights.tensor(&bias, &[to])?);
        let bias = self.graph.constant(&bias, &[to], &values);
        Ok(self.graph.node("Gemm", &[input, &weight, &bias], &[Attribute::Int("transB", 1)]))
    }

    /// Rows cut into heads: tokens×heads×32, turned as `perm` says.
    fn in_heads(&mut self, rows: &Wire, perm: &[u64]) -> Wire {
        let cut = self.graph.node("Reshape", &[rows, &self.shared.heads], &[]);
        self.graph.node("Transpose", &[&cut], &[Attribute::Ints("perm", perm)])
    }

    fn norm(&mut self, input: &Wire, name: &str) -> Result<Wire, LabourError> {
        let mut constant = |part: &str| -> Result<Wire, LabourError> {
            let name = format!("{name}.{part}");
            let values = self.weights.tensor(&name, &[WIDTH])?;
            Ok(self.graph.constant(&name, &[WIDTH], &values))
        };
        let (scale, shift) = (constant("weight")?, constant("bias")?);
        let with = [Attribute::Int("axis", 1), Attribute::Float("epsilon", EPSILON)];
        Ok(self.graph.node("LayerNormalization", &[input, &scale, &shift], &with))
    }

    /// In the steps that the runtime knows how to take together.
    fn gelu(&mut self, input: &Wire) -> Wire {
        let Shared { root, one, half, .. } = &self.shared;
        let graph = &mut self.graph;
        let part = graph.node("Div", &[input, root], &[]);
        let part = graph.node("Erf", &[&part], &[]);
        let part = graph.node("Add", &[&part, one], &[]);
        let part = graph.node("Mul", &[input, &part], &[]);
        graph.node("Mul", &[&part, half], &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A safetensors file with one tensor of `f32`.
    fn file(name: &str, shape: &[usize]) -> Vec<u8> {
        let bytes = vec![0_u8; shape.iter().product::<usize>() * 4];
        let view = safetensors::tensor::TensorView::new(Dtype::F32, shape.to_vec(), &bytes);
        safetensors::serialize([(name, view.unwrap())], None).unwrap()
    }

    #[test]
    fn weights_that_are_not_there_are_named() {
        let file = file("embeddings.LayerNorm.weight", &[WIDTH]);
        let weights = Weights::read(&file, "w").unwrap();
        let error = build(&weights).unwrap_err();
        assert!(error.to_string().contains("embeddings.LayerNorm.bias"), "{error}");
        let error = Table::of(&weights).err().expect("there is no table");
        assert!(error.to_string().contains("token_type"), "{error}");
    }

    #[test]
    fn a_file_that_is_cut_short_is_refused() {
        let file = file("x", &[2, 3]);
        for end in [0, 7, 20, file.len() - 1] {
            let error = Weights::read(&file[..end], "model").err().expect("it is cut short");
            assert!(error.to_string().starts_with("model cannot be used"), "{error}");
        }
    }

    #[test]
    fn a_rows_sum_is_word_segment_and_place_and_no_word_is_no_row() {
        let table = Table {
            words: (0..3).flat_map(|w| [w as f32; WIDTH]).collect(),
            places: (0..PLACES).flat_map(|p| [p as f32 * 10.0; WIDTH]).collect(),
            segment: vec![0.5; WIDTH],
        };
        let rows = table.rows(&[2, 1]).unwrap();
        assert_eq!((rows.shape, rows.data[0], rows.data[WIDTH]), (vec![2, WIDTH], 2.5, 11.5));
        assert_eq!(table.rows(&[3]), None);
        assert_eq!(table.rows(&[u32::MAX]), None);
        assert_eq!(table.rows(&[]), None);
        assert_eq!(table.rows(&[0; PLACES + 1]), None);
        assert!(table.rows(&[0; PLACES]).is_some());
    }
}
