//! The reader of weights against files that want more than to be weights.

use labour::Tensor;
use labour::pickle::{MAX_STEPS, PickleFault, read_state_dict};
use proptest::prelude::*;

/// Writes legacy PyTorch files, good ones and bad ones.
struct File(Vec<u8>);

impl File {
    /// Magic, protocol and system information.
    fn new() -> Self {
        let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
        file.extend(b"\x80\x02}(X\x0d\0\0\0little_endian\x88u.");
        File(file)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        self.raw(b"X").raw(&length).raw(text.as_bytes())
    }

    fn int(self, n: i32) -> Self {
        self.raw(b"J").raw(&n.to_le_bytes())
    }

    fn ints(self, numbers: &[i32]) -> Self {
        numbers.iter().fold(self.raw(b"("), |file, n| file.int(*n)).raw(b"t")
    }

    /// A tensor under a name: one entry of a dictionary whose mark is open.
    fn tensor(
        self,
        name: &str,
        key: &str,
        storage: i32,
        offset: i32,
        shape: &[i32],
        strides: &[i32],
    ) -> Self {
        self.text(name)
            .raw(b"ctorch._utils\n_rebuild_tensor_v2\n((")
            .text("storage")
            .raw(b"ctorch\nFloatStorage\n")
            .text(key)
            .text("cpu")
            .int(storage)
            .raw(b"NtQ")
            .int(offset)
            .ints(shape)
            .ints(strides)
            .raw(b"\x89ccollections\nOrderedDict\n)RtR")
    }

    /// The storages: keys, then counts and numbers.
    fn storages(self, storages: &[(&str, &[f32])]) -> Self {
        let file = storages.iter().fold(self.raw(b"\x80\x02]("), |file, (key, _)| file.text(key));
        storages.iter().fold(file.raw(b"e."), |file, (_, numbers)| {
            let file = file.raw(&(numbers.len() as u64).to_le_bytes());
            numbers.iter().fold(file, |file, n| file.raw(&n.to_le_bytes()))
        })
    }

    fn fault(&self) -> PickleFault {
        read_state_dict(&self.0).expect_err("it is refused").fault
    }
}

/// A file with one tensor `w` over the storage 0, 1, 2, …
fn one(storage: i32, offset: i32, shape: &[i32], strides: &[i32]) -> File {
    let numbers: Vec<f32> = (0..storage).map(|n| n as f32).collect();
    File::new()
        .raw(b"\x80\x02}(")
        .tensor("w", "7", storage, offset, shape, strides)
        .raw(b"u.")
        .storages(&[("7", &numbers)])
}

fn read(file: &File) -> Tensor {
    read_state_dict(&file.0).expect("it is read").remove("w").expect("it holds w")
}

#[test]
fn numbers_come_in_the_order_of_their_strides() {
    assert_eq!(read(&one(6, 0, &[2, 3], &[3, 1])).data, [0., 1., 2., 3., 4., 5.]);
    assert_eq!(read(&one(6, 0, &[2, 3], &[1, 2])).data, [0., 2., 4., 1., 3., 5.]);
    assert_eq!(read(&one(6, 1, &[2], &[3])).data, [1., 4.]);
}

#[test]
fn a_convolution_from_tensorflow_is_turned_around() {
    // Shape out, in, height, width; laid out height, width, in, out, as TensorFlow does.
    let (o, i, h, w) = (4, 3, 2, 2);
    let tensor = read(&one(o * i * h * w, 0, &[o, i, h, w], &[1, o, w * i * o, i * o]));
    let at = |a: i32, b: i32, c: i32, d: i32| (((c * w + d) * i + b) * o + a) as f32;
    let mut expected = Vec::new();
    for a in 0..o {
        for b in 0..i {
            for c in 0..h {
                expected.extend((0..w).map(|d| at(a, b, c, d)));
            }
        }
    }
    assert_eq!(tensor.data, expected);
}

#[test]
fn a_dimension_of_one_may_claim_any_stride() {
    assert_eq!(read(&one(2, 0, &[1, 2], &[i32::MAX, 1])).data, [0., 1.]);
}

#[test]
fn a_single_number_and_an_empty_tensor_are_tensors() {
    assert_eq!(read(&one(1, 0, &[], &[])).data, [0.]);
    assert_eq!(read(&one(1, 0, &[0, 5], &[5, 1])).data, [0f32; 0]);
}

#[test]
fn a_view_that_leaves_its_storage_is_refused() {
    for (offset, shape, strides) in [
        (0, [2, 3], [4, 1]),
        (1, [2, 3], [3, 1]),
        (0, [2, 2], [i32::MAX, 1]),
        (i32::MAX, [1, 1], [1, 1]),
    ] {
        let fault = one(6, offset, &shape, &strides).fault();
        assert!(matches!(fault, PickleFault::View { .. }), "{fault}");
    }
}

#[test]
fn a_view_that_repeats_numbers_is_refused() {
    let fault = one(2, 0, &[1_000_000, 1_000_000], &[0, 0]).fault();
    assert!(matches!(fault, PickleFault::View { .. }), "{fault}");
}

#[test]
fn a_negative_size_is_refused() {
    assert_eq!(one(6, 0, &[-1], &[1]).fault(), PickleFault::Expected("a size"));
    assert_eq!(one(6, 0, &[1], &[-1]).fault(), PickleFault::Expected("a size"));
}

#[test]
fn the_name_of_a_function_that_tensors_do_not_need_is_refused() {
    let file = File::new().raw(b"\x80\x02cos\nsystem\n").text("true").raw(b"\x85R.");
    assert_eq!(file.fault(), PickleFault::Name("os.system".into()));
    let file = File::new().raw(b"\x80\x02cbuiltins\neval\n");
    assert_eq!(file.fault(), PickleFault::Name("builtins.eval".into()));
}

#[test]
fn opcodes_that_build_other_things_are_refused() {
    // INST, OBJ, NEWOBJ, EXT1, STACK_GLOBAL, FRAME, INT, FLOAT, persistent id as text.
    for opcode in [b'i', b'o', 0x81, 0x82, 0x93, 0x95, b'I', b'G', b'P'] {
        let file = File::new().raw(&[0x80, 2, opcode, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(file.fault(), PickleFault::Opcode(opcode));
    }
}

#[test]
fn calling_what_is_no_function_is_refused() {
    let file = File::new().raw(b"\x80\x02ctorch\nFloatStorage\n)R.");
    assert!(matches!(file.fault(), PickleFault::Expected(_)));
}

#[test]
fn a_text_of_four_gigabytes_is_refused_unallocated() {
    let file = File::new().raw(b"\x80\x02X\xff\xff\xff\xffshort");
    assert!(matches!(file.fault(), PickleFault::TooMany { .. }));
}

#[test]
fn a_name_without_an_end_is_refused() {
    let file = File::new().raw(b"\x80\x02c").raw(&vec![b'a'; 1 << 20]);
    assert!(matches!(file.fault(), PickleFault::TooMany { .. }));
}

#[test]
fn a_storage_larger_than_the_file_is_refused_unallocated() {
    let file = File::new()
        .raw(b"\x80\x02}(")
        .tensor("w", "7", i32::MAX, 0, &[2], &[1])
        .raw(b"u.\x80\x02](")
        .text("7")
        .raw(b"e.")
        .raw(&(i32::MAX as u64).to_le_bytes());
    assert!(matches!(file.fault(), PickleFault::Truncated { .. }));
}

#[test]
fn tuples_in_tuples_in_tuples_are_refused() {
    let file = File::new().raw(b"\x80\x02)").raw(&vec![0x85; 100_000]).raw(b".");
    assert!(matches!(file.fault(), PickleFault::TooMany { of: "nested tuples", .. }));
}

#[test]
fn a_dictionary_within_itself_is_refused_and_is_no_leak() {
    let file = File::new().raw(b"\x80\x02}q\0(").text("self").raw(b"h\0u.").storages(&[]);
    assert!(matches!(file.fault(), PickleFault::Expected(_)));
}

#[test]
fn a_pickle_that_never_ends_is_stopped() {
    // Store and fetch again: the stack grows without end, and so would the time.
    let file = File::new().raw(b"\x80\x02Nq\0").raw(&b"h\0".repeat(MAX_STEPS));
    assert!(matches!(file.fault(), PickleFault::TooMany { .. }));
    let file = File::new().raw(b"\x80\x02").raw(&b"\x80\x02".repeat(MAX_STEPS + 1));
    assert!(matches!(file.fault(), PickleFault::TooMany { of: "steps", .. }));
}

#[test]
fn an_empty_stack_is_no_place_to_take_from() {
    for opcode in [b'.', b's', b'u', b'e', b't', b'R', b'Q', b'b', 0x85, 0x86, 0x87] {
        let file = File::new().raw(&[0x80, 2, opcode]);
        assert!(matches!(file.fault(), PickleFault::Expected(_)), "{opcode:02x}");
    }
}

#[test]
fn a_modern_file_is_told_apart() {
    let fault = read_state_dict(b"PK\x03\x04 a zip file").unwrap_err().fault;
    assert_eq!(fault, PickleFault::Opcode(b'P'));
    assert!(matches!(read_state_dict(b"").unwrap_err().fault, PickleFault::Truncated { .. }));
}

#[test]
fn bytes_after_the_end_are_refused() {
    let file = one(1, 0, &[1], &[1]).raw(b"?");
    assert!(matches!(file.fault(), PickleFault::NotLegacy(_)));
}

#[test]
fn two_tensors_of_one_name_are_refused() {
    let file = File::new()
        .raw(b"\x80\x02}(")
        .tensor("w", "7", 1, 0, &[1], &[1])
        .tensor("w", "7", 1, 0, &[1], &[1])
        .raw(b"u.")
        .storages(&[("7", &[1.0])]);
    assert!(matches!(file.fault(), PickleFault::View { .. }));
}

#[test]
fn storages_that_contradict_each_other_are_refused() {
    let object = |file: File| file.raw(b"\x80\x02}(").tensor("w", "7", 1, 0, &[1], &[1]).raw(b"u.");
    let missing = object(File::new()).storages(&[]);
    let unknown = object(File::new()).storages(&[("7", &[1.0]), ("8", &[1.0])]);
    let twice = object(File::new()).storages(&[("7", &[1.0]), ("7", &[1.0])]);
    let longer = object(File::new()).storages(&[("7", &[1.0, 2.0])]);
    for file in [missing, unknown, twice, longer] {
        assert!(matches!(file.fault(), PickleFault::Storage { .. }), "{}", file.fault());
    }
}

proptest! {
    #[test]
    fn no_damage_makes_the_reader_fail_otherwise_than_by_an_error(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = one(24, 0, &[4, 3, 2], &[1, 4, 12]).0;
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = read_state_dict(&bytes);
    }

    #[test]
    fn no_pickle_at_all_makes_the_reader_fail_otherwise_than_by_an_error(
        ops in prop::collection::vec(
            prop::sample::select(b"\x80\x02.(N\x88\x89KMJX)\x85\x86\x87t}]esuqrhjQRb\0\x01".to_vec()),
            0..200,
        ),
    ) {
        let _ = read_state_dict(&File::new().raw(&ops).0);
        let _ = read_state_dict(&ops);
    }

    #[test]
    fn every_cut_is_an_error(at in any::<prop::sample::Index>()) {
        let bytes = one(24, 0, &[4, 3, 2], &[1, 4, 12]).0;
        prop_assert!(read_state_dict(&bytes[..at.index(bytes.len())]).is_err());
    }
}
