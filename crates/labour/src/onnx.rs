//! A network written down as an ONNX model, in memory.
//!
//! ONNX files are protocol buffers. Only the handful of messages that a feed-forward network needs
//! is written here (field numbers from `onnx/onnx.proto3`; wire format from the Protocol Buffers
//! encoding guide), which is less than a generator would bring along. The bytes are the same for the
//! same graph, on every machine. Reading ONNX is the runtime's business.
//!
//! Cost: one copy of the weights for each level of nesting, two in all.

/// The operator set whose meaning the nodes have: the first with `LayerNormalization`.
const OPSET: u64 = 17;
/// The file format's version, one that knows that operator set.
const IR_VERSION: u64 = 8;

/// `TensorProto.DataType.FLOAT`.
const FLOAT: u64 = 1;
/// `TensorProto.DataType.INT64`.
const INT64: u64 = 7;

/// A message being written: tags, varints and length-delimited fields.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn number(mut self, field: u32, value: u64) -> Self {
        self.varint(u64::from(field << 3));
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.varint(u64::from(field << 3 | 2));
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn float(mut self, field: u32, value: f32) -> Self {
        self.varint(u64::from(field << 3 | 5));
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u32, message: Message) -> Self {
        self.bytes(field, &message.0)
    }
}

/// An attribute of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attribute<'a> {
    /// A whole number.
    Int(&'a str, u64),
    /// A list of whole numbers.
    Ints(&'a str, &'a [u64]),
    /// A fraction.
    Float(&'a str, f32),
}

impl Attribute<'_> {
    fn message(self) -> Message {
        // AttributeProto: name 1, f 2, i 3, ints 8, type 20 (FLOAT = 1, INT = 2, INTS = 7).
        match self {
            Attribute::Int(name, value) => {
                Message::default().text(1, name).number(3, value).number(20, 2)
            }
            Attribute::Ints(name, values) => {
                let named = Message::default().text(1, name);
                values.iter().fold(named, |m, v| m.number(8, *v)).number(20, 7)
            }
            Attribute::Float(name, value) => {
                Message::default().text(1, name).float(2, value).number(20, 1)
            }
        }
    }
}

/// A graph of `f32` tensors with one input and one output, being built in order of computation.
pub(crate) struct Graph {
    body: Message,
    values: usize,
}

/// The name of a tensor in a [`Graph`].
#[derive(Clone, Debug)]
pub(crate) struct Wire(String);

impl Graph {
    /// Starts a graph with one input. Returns it with the input's wire.
    pub(crate) fn new(name: &str, input: &str, shape: &[usize]) -> (Self, Wire) {
        let shape: Vec<Side> = shape.iter().map(|&side| Side::Is(side)).collect();
        Self::with_input(name, input, &shape)
    }

    /// Starts a graph whose input is a matrix of so many columns, and of as many rows as come.
    pub(crate) fn of_rows(name: &str, input: &str, columns: usize) -> (Self, Wire) {
        Self::with_input(name, input, &[Side::Any("rows"), Side::Is(columns)])
    }

    fn with_input(name: &str, input: &str, shape: &[Side]) -> (Self, Wire) {
        // GraphProto: name 2, input 11.
        let body = Message::default().text(2, name).message(11, value_info(input, shape));
        (Graph { body, values: 0 }, Wire(input.to_owned()))
    }

    /// Adds a constant tensor, row-major.
    pub(crate) fn constant(&mut self, name: &str, shape: &[usize], data: &[f32]) -> Wire {
        // TensorProto: dims 1, data_type 2, name 8, raw_data 9 (little endian). Graph: initializer 5.
        let dims = shape.iter().fold(Message::default(), |m, &d| m.number(1, d as u64));
        let raw: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensor = dims.number(2, FLOAT).text(8, name).bytes(9, &raw);
        self.body = std::mem::take(&mut self.body).message(5, tensor);
        Wire(name.to_owned())
    }

    /// Adds a constant list of whole numbers, such as the shape that something is brought into.
    pub(crate) fn numbers(&mut self, name: &str, numbers: &[i64]) -> Wire {
        let raw: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
        let dims = Message::default().number(1, numbers.len() as u64);
        let tensor = dims.number(2, INT64).text(8, name).bytes(9, &raw);
        self.body = std::mem::take(&mut self.body).message(5, tensor);
        Wire(name.to_owned())
    }

    /// Adds an operation and returns its result.
    pub(crate) fn node(&mut self, op: &str, inputs: &[&Wire], attributes: &[Attribute]) -> Wire {
        let output = format!("v{}", self.values);
        self.values += 1;
        self.node_named(op, inputs, attributes, &output)
    }

    fn node_named(&mut self, op: &str, inputs: &[&Wire], with: &[Attribute], output: &str) -> Wire {
        // NodeProto: input 1, output 2, name 3, op_type 4, attribute 5. Graph: node 1.
        let node = inputs.iter().fold(Message::default(), |m, wire| m.text(1, &wire.0));
        let node = node.text(2, output).text(3, output).text(4, op);
        let node = with.iter().fold(node, |m, a| m.message(5, a.message()));
        self.body = std::mem::take(&mut self.body).message(1, node);
        Wire(output.to_owned())
    }

    /// Names the result, and returns the bytes of the whole model.
    pub(crate) fn finish(mut self, result: &Wire, output: &str, shape: &[usize]) -> Vec<u8> {
        self.node_named("Identity", &[result], &[], output);
        // GraphProto: output 12. ModelProto: ir_version 1, producer 2, graph 7, opset_import 8.
        let shape: Vec<Side> = shape.iter().map(|&side| Side::Is(side)).collect();
        let graph = self.body.message(12, value_info(output, &shape));
        let opset = Message::default().number(2, OPSET);
        let model = Message::default().number(1, IR_VERSION).text(2, "machina");
        model.message(7, graph).message(8, opset).0
    }
}

/// How long a tensor is along a dimension.
#[derive(Clone, Copy)]
enum Side {
    /// This long.
    Is(usize),
    /// As long as what comes; equal names are equally long.
    Any(&'static str),
}

/// ValueInfoProto: name 1, type 2 { tensor_type 1 { elem_type 1, shape 2 { dim 1 { dim_value 1,
/// dim_param 2 }}}}.
fn value_info(name: &str, shape: &[Side]) -> Message {
    let dim = |m: Message, side: &Side| {
        let dim = match *side {
            Side::Is(long) => Message::default().number(1, long as u64),
            Side::Any(name) => Message::default().text(2, name),
        };
        m.message(1, dim)
    };
    let shape = shape.iter().fold(Message::default(), dim);
    let tensor = Message::default().number(1, FLOAT).message(2, shape);
    Message::default().text(1, name).message(2, Message::default().message(1, tensor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_encoding_guide_shows() {
        // Protocol Buffers encoding guide: field 1 = 150 is 08 96 01; field 2 = "testing".
        assert_eq!(Message::default().number(1, 150).0, [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().text(2, "testing").0, b"\x12\x07testing");
        assert_eq!(Message::default().number(20, 7).0, [0xa0, 0x01, 0x07]);
        // A 32-bit field has wire type 5 and four bytes, the least first.
        assert_eq!(Message::default().float(2, 1.0).0, [0x15, 0, 0, 0x80, 0x3f]);
    }
}
