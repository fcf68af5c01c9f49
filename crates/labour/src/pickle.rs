//! Weights out of a legacy PyTorch file, without Python.
//!
//! Before 1.6, `torch.save` wrote five pickles (protocol 2) in a row and then the numbers:
//!
//! ```text
//! magic 0x1950a86a20f9469cfc6c · protocol 1001 · system information · the object · storage keys
//! for each key, in that order: element count (u64, little endian), then the elements
//! ```
//!
//! (Format: `torch/serialization.py`, `_legacy_save`; opcodes: Python's `pickletools`.) A pickle is
//! a program for a small stack machine, and in Python it may call anything. This machine knows the
//! 29 opcodes and four names that a dictionary of tensors needs, can build nothing else, and refuses
//! the rest with the offset where it stands.
//!
//! A tensor is a *view*: storage, offset, shape and strides. The strides matter: the weights of
//! EfficientNet-Lite came out of TensorFlow with theirs, and read in storage order every photograph
//! is a rugby ball. [`Tensor::data`] is always in row-major order of its shape.
//!
//! Bounds, whatever the bytes: [`MAX_STEPS`], [`MAX_STACK`], [`MAX_DEPTH`], [`MAX_TEXT`],
//! [`MAX_STORAGES`], [`MAX_ELEMENTS`]; nothing is allocated for a size that the file only announces.
//! Cost: one pass, each wanted element copied once.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::tensor::Tensor;

/// The most opcodes executed in one file.
pub const MAX_STEPS: usize = 1 << 20;
/// The most values on the stack, in the memo, or in one dictionary.
pub const MAX_STACK: usize = 1 << 16;
/// The deepest nesting of tuples.
pub const MAX_DEPTH: u8 = 8;
/// The longest text, bytes.
pub const MAX_TEXT: usize = 1 << 10;
/// The most storages.
pub const MAX_STORAGES: usize = 1 << 12;
/// The most elements of all tensors together: 16 Mi, 64 MiB as `f32`.
pub const MAX_ELEMENTS: usize = 1 << 24;
/// The most dimensions of a tensor.
pub const MAX_DIMENSIONS: usize = 8;

const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

/// A file that is refused: what, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {fault}")]
pub struct PickleError {
    /// Offset into the file.
    pub at: usize,
    /// What is wrong there.
    pub fault: PickleFault,
}

/// Why a weights file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleFault {
    /// The file ends too early.
    #[error("the file ends where {wanted} more bytes were announced")]
    Truncated {
        /// Bytes missing or announced.
        wanted: u64,
    },
    /// An opcode that a dictionary of tensors does not need.
    #[error("opcode 0x{0:02x} is not allowed")]
    Opcode(u8),
    /// A Python name other than the four that tensors need.
    #[error("the name {0:?} is not allowed")]
    Name(String),
    /// It is not a legacy PyTorch file.
    #[error("this is not a legacy PyTorch file: {0}")]
    NotLegacy(&'static str),
    /// The stack does not hold what the opcode needs.
    #[error("{0} was expected on the stack")]
    Expected(&'static str),
    /// A bound of this reader was met.
    #[error("more than {limit} {of}")]
    TooMany {
        /// Of what.
        of: &'static str,
        /// The bound.
        limit: usize,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
    /// A tensor whose view leaves its storage, or contradicts itself.
    #[error("tensor {name:?} does not fit its storage: {why}")]
    View {
        /// The tensor's name.
        name: String,
        /// In which way.
        why: &'static str,
    },
    /// A storage that is listed but unknown, missing, or of another size than said.
    #[error("storage {key:?} {why}")]
    Storage {
        /// The storage's key.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

type Step<T> = Result<T, PickleFault>;

/// Reads the dictionary of tensors in a legacy PyTorch file.
///
/// Tensors of `f32` are returned by name. Tensors of `i64` (counters that training keeps) are
/// checked like the others, and left out.
///
/// # Errors
/// [`PickleError`] for anything that is not exactly such a file.
pub fn read_state_dict(file: &[u8]) -> Result<BTreeMap<String, Tensor>, PickleError> {
    let mut machine = Machine { file, at: 0, steps: 0, storages: Vec::new(), dicts: Vec::new() };
    machine.read().map_err(|fault| PickleError { at: machine.at, fault })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    OrderedDict,
    RebuildTensor,
    FloatStorage,
    LongStorage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    F32,
    I64,
}

impl Element {
    fn bytes(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::I64 => 8,
        }
    }
}

/// A run of numbers at the end of the file.
#[derive(Debug)]
struct Storage {
    key: Rc<str>,
    element: Element,
    /// Elements, as the object says.
    count: usize,
    /// Where its bytes start, once found.
    start: Option<usize>,
}

/// A tensor before its numbers are known.
#[derive(Debug)]
struct View {
    storage: usize,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Value {
    Mark,
    None,
    Bool(bool),
    Int(i64),
    /// The one number that does not fit: the magic.
    Magic,
    Text(Rc<str>),
    Name(Name),
    Tuple(Rc<Tuple>),
    /// An index into [`Machine::dicts`]: dictionaries change after they are shared.
    Dict(usize),
    List(Rc<[Value]>),
    /// An index into [`Machine::storages`].
    Storage(usize),
    Tensor(Rc<View>),
}

#[derive(Debug)]
struct Tuple {
    items: Vec<Value>,
    depth: u8,
}

struct Machine<'f> {
    file: &'f [u8],
    at: usize,
    steps: usize,
    storages: Vec<Storage>,
    dicts: Vec<Vec<(Value, Value)>>,
}

impl<'f> Machine<'f> {
    /// The whole file, in its order.
    fn read(&mut self) -> Step<BTreeMap<String, Tensor>> {
        if !matches!(self.pickle()?, Value::Magic) {
            return Err(PickleFault::NotLegacy("the magic number is missing"));
        }
        if !matches!(self.pickle()?, Value::Int(PROTOCOL)) {
            return Err(PickleFault::NotLegacy("the protocol is not 1001"));
        }
        let Value::Dict(system) = self.pickle()? else {
            return Err(PickleFault::NotLegacy("it does not tell the system that wrote it"));
        };
        let little = |(key, value): &(Value, Value)| matches!((key, value), (Value::Text(k), Value::Bool(true)) if &**k == "little_endian");
        if !self.dicts[system].iter().any(little) {
            return Err(PickleFault::NotLegacy("its numbers are not little endian"));
        }
        let Value::Dict(object) = self.pickle()? else {
            return Err(PickleFault::NotLegacy("it does not hold a dictionary"));
        };
        let Value::List(keys) = self.pickle()? else {
            return Err(PickleFault::NotLegacy("it does not list its storages"));
        };
        self.place_storages(&keys)?;
        if self.at != self.file.len() {
            return Err(PickleFault::NotLegacy("bytes follow the last storage"));
        }
        let entries = std::mem::take(&mut self.dicts[object]);
        self.gather(entries)
    }

    /// Finds where each storage's bytes lie.
    fn place_storages(&mut self, keys: &[Value]) -> Step<()> {
        for key in keys {
            let Value::Text(key) = key else { return Err(PickleFault::Expected("a storage key")) };
            let wrong = |why| PickleFault::Storage { key: key.to_string(), why };
            let found = self.storages.iter().position(|s| s.key == *key);
            let found = found.ok_or_else(|| wrong("belongs to no tensor"))?;
            let count = u64::from_le_bytes(self.array()?);
            let storage = &self.storages[found];
            if storage.start.is_some() {
                return Err(wrong("is listed twice"));
            }
            if u64::try_from(storage.count) != Ok(count) {
                return Err(wrong("has another size than its tensors say"));
            }
            let bytes = storage.count.checked_mul(storage.element.bytes());
            let bytes = bytes.ok_or_else(|| wrong("is larger than memory"))?;
            let start = self.at;
            self.take(bytes)?;
            self.storages[found].start = Some(start);
        }
        match self.storages.iter().find(|s| s.start.is_none()) {
            Some(s) => {
                Err(PickleFault::Storage { key: s.key.to_string(), why: "is not in the file" })
            }
            None => Ok(()),
        }
    }

    /// Copies every tensor out of its storage, in row-major order.
    fn gather(&self, entries: Vec<(Value, Value)>) -> Step<BTreeMap<String, Tensor>> {
        let mut tensors = BTreeMap::new();
        let mut total = 0usize;
        for (key, value) in entries {
            let (Value::Text(name), Value::Tensor(view)) = (key, value) else {
                return Err(PickleFault::Expected("a tensor under a name"));
            };
            let storage = &self.storages[view.storage];
            let elements = self.check(&name, &view, storage)?;
            total = total.saturating_add(elements);
            if total > MAX_ELEMENTS {
                return Err(PickleFault::TooMany { of: "elements", limit: MAX_ELEMENTS });
            }
            if storage.element == Element::I64 {
                continue;
            }
            // `place_storages` found every storage; `check` keeps the view inside it.
            let bytes = &self.file[storage.start.unwrap_or(0)..][..storage.count * 4];
            let data = walk(&view, elements, |index| {
                let at = index * 4;
                f32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
            });
            let tensor = Tensor { shape: view.shape.clone(), data };
            if tensors.insert(name.to_string(), tensor).is_some() {
                let name = name.to_string();
                return Err(PickleFault::View { name, why: "its name is taken" });
            }
        }
        Ok(tensors)
    }

    /// The number of elements of a view, if it lies within its storage.
    fn check(&self, name: &str, view: &View, storage: &Storage) -> Step<usize> {
        let wrong = |why| PickleFault::View { name: name.to_owned(), why };
        if view.shape.len() != view.strides.len() || view.shape.len() > MAX_DIMENSIONS {
            return Err(wrong("shape and strides do not match"));
        }
        let mut elements = 1usize;
        let mut last = view.offset;
        for (&size, &stride) in view.shape.iter().zip(&view.strides) {
            elements = elements.checked_mul(size).ok_or_else(|| wrong("it is too large"))?;
            let reach = size.saturating_sub(1).checked_mul(stride);
            let reach = reach.and_then(|reach| last.checked_add(reach));
            last = reach.ok_or_else(|| wrong("it is too large"))?;
        }
        // A stride of zero repeats numbers; weights have no use for it, and a bomb has.
        if elements > storage.count {
            return Err(wrong("it has more elements than the storage"));
        }
        if elements > 0 && last >= storage.count {
            return Err(wrong("it reaches beyond the end"));
        }
        Ok(elements)
    }

    /// Runs one pickle up to its STOP.
    fn pickle(&mut self) -> Step<Value> {
        let mut stack: Vec<Value> = Vec::new();
        let mut memo: BTreeMap<u32, Value> = BTreeMap::new();
        loop {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(PickleFault::TooMany { of: "steps", limit: MAX_STEPS });
            }
            if stack.len() > MAX_STACK || memo.len() > MAX_STACK {
                return Err(PickleFault::TooMany { of: "values", limit: MAX_STACK });
            }
            match self.byte()? {
                0x80 => match self.byte()? {
                    2 => {}
                    _ => return Err(PickleFault::NotLegacy("the pickle protocol is not 2")),
                },
                b'.' => return pop(&mut stack),
                b'(' => stack.push(Value::Mark),
                b'N' => stack.push(Value::None),
                0x88 => stack.push(Value::Bool(true)),
                0x89 => stack.push(Value::Bool(false)),
                b'K' => stack.push(Value::Int(i64::from(self.byte()?))),
                b'M' => stack.push(Value::Int(i64::from(u16::from_le_bytes(self.array()?)))),
                b'J' => stack.push(Value::Int(i64::from(i32::from_le_bytes(self.array()?)))),
                0x8a => stack.push(self.long()?),
                b'X' => stack.push(self.text()?),
                b'c' => stack.push(Value::Name(self.name()?)),
                b')' => stack.push(tuple(Vec::new())?),
                0x85 => top_tuple(&mut stack, 1)?,
                0x86 => top_tuple(&mut stack, 2)?,
                0x87 => top_tuple(&mut stack, 3)?,
                b't' => {
                    let items = to_mark(&mut stack)?;
                    stack.push(tuple(items)?);
                }
                b'}' => {
                    let dict = self.new_dict()?;
                    stack.push(dict);
                }
                b']' => stack.push(Value::List(Rc::new([]))),
                b'e' => {
                    let items = to_mark(&mut stack)?;
                    match stack.pop() {
                        // Only an empty list grows, so a shared one never does.
                        Some(Value::List(list)) if list.is_empty() => {
                            if items.iter().any(|i| !matches!(i, Value::Text(_))) {
                                return Err(PickleFault::Expected("a list of texts"));
                            }
                            stack.push(Value::List(items.into()));
                        }
                        _ => return Err(PickleFault::Expected("an empty list")),
                    }
                }
                b's' => {
                    let (value, key) = (pop(&mut stack)?, pop(&mut stack)?);
                    self.set(&stack, vec![key, value])?;
                }
                b'u' => {
                    let items = to_mark(&mut stack)?;
                    self.set(&stack, items)?;
                }
                b'q' => {
                    let slot = u32::from(self.byte()?);
                    memo.insert(slot, top(&stack)?.clone());
                }
                b'r' => {
                    let slot = u32::from_le_bytes(self.array()?);
                    memo.insert(slot, top(&stack)?.clone());
                }
                b'h' => {
                    let slot = u32::from(self.byte()?);
                    stack.push(recall(&memo, slot)?);
                }
                b'j' => {
                    let slot = u32::from_le_bytes(self.array()?);
                    stack.push(recall(&memo, slot)?);
                }
                b'Q' => {
                    let id = pop(&mut stack)?;
                    stack.push(self.storage(&id)?);
                }
                b'R' => {
                    let (arguments, function) = (pop(&mut stack)?, pop(&mut stack)?);
                    stack.push(self.call(&function, &arguments)?);
                }
                // State of an OrderedDict: module versions, of no use here.
                b'b' => match (pop(&mut stack)?, top(&stack)?) {
                    (Value::Dict(_), Value::Dict(_)) => {}
                    _ => return Err(PickleFault::Expected("a dictionary and its state")),
                },
                other => {
                    self.at -= 1;
                    return Err(PickleFault::Opcode(other));
                }
            }
        }
    }

    fn new_dict(&mut self) -> Step<Value> {
        if self.dicts.len() >= MAX_STACK {
            return Err(PickleFault::TooMany { of: "dictionaries", limit: MAX_STACK });
        }
        self.dicts.push(Vec::new());
        Ok(Value::Dict(self.dicts.len() - 1))
    }

    /// Puts pairs into the dictionary on top of the stack.
    fn set(&mut self, stack: &[Value], items: Vec<Value>) -> Step<()> {
        let Value::Dict(dict) = top(stack)? else {
            return Err(PickleFault::Expected("a dictionary"));
        };
        let entries = &mut self.dicts[*dict];
        if entries.len() + items.len() / 2 > MAX_STACK {
            return Err(PickleFault::TooMany { of: "entries", limit: MAX_STACK });
        }
        let mut items = items.into_iter();
        while let Some(key) = items.next() {
            let value = items.next().ok_or(PickleFault::Expected("a value for each key"))?;
            if !matches!(key, Value::Text(_)) {
                return Err(PickleFault::Expected("a text as key"));
            }
            entries.push((key, value));
        }
        Ok(())
    }

    /// `('storage', FloatStorage, key, location, count, None)`.
    fn storage(&mut self, id: &Value) -> Step<Value> {
        let fault = PickleFault::Expected("a storage's description");
        let Value::Tuple(id) = id else { return Err(fault) };
        let [
            Value::Text(what),
            Value::Name(name),
            Value::Text(key),
            Value::Text(_),
            count,
            Value::None,
        ] = id.items.as_slice()
        else {
            return Err(fault);
        };
        let element = match name {
            Name::FloatStorage => Element::F32,
            Name::LongStorage => Element::I64,
            Name::OrderedDict | Name::RebuildTensor => return Err(fault),
        };
        if &**what != "storage" {
            return Err(fault);
        }
        let count = size(count)?;
        if let Some(known) = self.storages.iter().position(|s| s.key == *key) {
            let same =
                self.storages[known].element == element && self.storages[known].count == count;
            let why = "is described in two ways";
            return if same {
                Ok(Value::Storage(known))
            } else {
                Err(PickleFault::Storage { key: key.to_string(), why })
            };
        }
        if self.storages.len() >= MAX_STORAGES {
            return Err(PickleFault::TooMany { of: "storages", limit: MAX_STORAGES });
        }
        self.storages.push(Storage { key: key.clone(), element, count, start: None });
        Ok(Value::Storage(self.storages.len() - 1))
    }

    /// The two calls there are: an empty ordered dictionary, and a tensor as a view of a storage.
    fn call(&mut self, function: &Value, arguments: &Value) -> Step<Value> {
        let Value::Tuple(arguments) = arguments else {
            return Err(PickleFault::Expected("a tuple of arguments"));
        };
        match (function, arguments.items.as_slice()) {
            (Value::Name(Name::OrderedDict), []) => self.new_dict(),
            (
                Value::Name(Name::RebuildTensor),
                [Value::Storage(storage), offset, shape, strides, Value::Bool(_), Value::Dict(_)],
            ) => Ok(Value::Tensor(Rc::new(View {
                storage: *storage,
                offset: size(offset)?,
                shape: sizes(shape)?,
                strides: sizes(strides)?,
            }))),
            _ => Err(PickleFault::Expected("a call that builds a tensor or a dictionary")),
        }
    }

    /// LONG1: only the magic number is written so.
    fn long(&mut self) -> Step<Value> {
        let length = usize::from(self.byte()?);
        match self.take(length)? {
            digits if *digits == MAGIC => Ok(Value::Magic),
            _ => Err(PickleFault::NotLegacy("it holds a long number that is not the magic")),
        }
    }

    fn text(&mut self) -> Step<Value> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        if length > MAX_TEXT {
            return Err(PickleFault::TooMany { of: "bytes of text", limit: MAX_TEXT });
        }
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| PickleFault::Text)?;
        Ok(Value::Text(text.into()))
    }

    /// GLOBAL: two lines, module and name.
    fn name(&mut self) -> Step<Name> {
        let (module, name) = (self.line()?, self.line()?);
        match (module, name) {
            ("collections", "OrderedDict") => Ok(Name::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Ok(Name::RebuildTensor),
            ("torch", "FloatStorage") => Ok(Name::FloatStorage),
            ("torch", "LongStorage") => Ok(Name::LongStorage),
            _ => Err(PickleFault::Name(format!("{module}.{name}"))),
        }
    }

    fn line(&mut self) -> Step<&'f str> {
        let rest = &self.file[self.at..];
        let window = &rest[..rest.len().min(MAX_TEXT)];
        let end = window.iter().position(|&b| b == b'\n');
        let end = end.ok_or(PickleFault::TooMany { of: "bytes of a name", limit: MAX_TEXT })?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| PickleFault::Text)
    }

    fn byte(&mut self) -> Step<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn take(&mut self, length: usize) -> Step<&'f [u8]> {
        let rest = &self.file[self.at..];
        let Some(taken) = rest.get(..length) else {
            return Err(PickleFault::Truncated { wanted: (length - rest.len()) as u64 });
        };
        self.at += length;
        Ok(taken)
    }
}

fn pop(stack: &mut Vec<Value>) -> Step<Value> {
    match stack.pop() {
        Some(Value::Mark) | None => Err(PickleFault::Expected("a value")),
        Some(value) => Ok(value),
    }
}

fn top(stack: &[Value]) -> Step<&Value> {
    match stack.last() {
        Some(Value::Mark) | None => Err(PickleFault::Expected("a value")),
        Some(value) => Ok(value),
    }
}

fn recall(memo: &BTreeMap<u32, Value>, slot: u32) -> Step<Value> {
    memo.get(&slot).cloned().ok_or(PickleFault::Expected("a remembered value"))
}

fn to_mark(stack: &mut Vec<Value>) -> Step<Vec<Value>> {
    let mark = stack.iter().rposition(|v| matches!(v, Value::Mark));
    let mark = mark.ok_or(PickleFault::Expected("a mark"))?;
    let items = stack.split_off(mark + 1);
    stack.pop();
    Ok(items)
}

fn top_tuple(stack: &mut Vec<Value>, length: usize) -> Step<()> {
    let mut items = Vec::with_capacity(length);
    for _ in 0..length {
        items.push(pop(stack)?);
    }
    items.reverse();
    stack.push(tuple(items)?);
    Ok(())
}

/// A tuple, unless it nests too deep: dropping it would recurse as deep.
fn tuple(items: Vec<Value>) -> Step<Value> {
    let inner = items.iter().map(|item| match item {
        Value::Tuple(tuple) => tuple.depth,
        _ => 0,
    });
    let depth = inner.max().unwrap_or(0) + 1;
    if depth > MAX_DEPTH {
        return Err(PickleFault::TooMany { of: "nested tuples", limit: usize::from(MAX_DEPTH) });
    }
    Ok(Value::Tuple(Rc::new(Tuple { items, depth })))
}

fn size(value: &Value) -> Step<usize> {
    match value {
        Value::Int(n) => usize::try_from(*n).map_err(|_| PickleFault::Expected("a size")),
        _ => Err(PickleFault::Expected("a size")),
    }
}

fn sizes(value: &Value) -> Step<Vec<usize>> {
    match value {
        Value::Tuple(tuple) if tuple.items.len() <= MAX_DIMENSIONS => {
            tuple.items.iter().map(size).collect()
        }
        _ => Err(PickleFault::Expected("at most eight sizes")),
    }
}

/// The elements of a checked view in row-major order of its shape.
fn walk(view: &View, elements: usize, read: impl Fn(usize) -> f32) -> Vec<f32> {
    // A dimension of one never moves, whatever stride it claims.
    let moving = view.shape.iter().zip(&view.strides).rev().filter(|(size, _)| **size > 1);
    let mut wheels: Vec<(usize, usize, usize)> =
        moving.map(|(n, stride)| (0, *n, *stride)).collect();
    let mut data = Vec::with_capacity(elements);
    let mut index = view.offset;
    for _ in 0..elements {
        data.push(read(index));
        // An odometer: advance the last dimension, carry to the left.
        for (position, size, stride) in &mut wheels {
            if *position + 1 < *size {
                *position += 1;
                index += *stride;
                break;
            }
            index -= *stride * *position;
            *position = 0;
        }
    }
    data
}
