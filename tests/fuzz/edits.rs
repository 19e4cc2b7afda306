//! What is done to a safetensors file.

use ::safetensors::SafeTensors;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// A safetensors file, with the entries of its header apart.
#[derive(Clone)]
pub struct Parts {
    /// Names may repeat, and come in any order.
    entries: Vec<(String, Value)>,
    data: Vec<u8>,
}

impl Parts {
    pub fn of(file: &[u8]) -> Self {
        let (header, _) = SafeTensors::read_metadata(file).unwrap();
        let text = &file[8..8 + header];
        let entries: serde_json::Map<String, Value> = serde_json::from_slice(text).unwrap();
        Self { entries: entries.into_iter().collect(), data: file[8 + header..].to_vec() }
    }

    /// The names of the tensors.
    pub fn names(&self) -> Vec<String> {
        self.entries.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The bytes of the file after these edits.
    pub fn edited(&self, edits: &Edits) -> Vec<u8> {
        let Self { mut entries, mut data } = self.clone();
        for edit in &edits.entries {
            edit.apply(&mut entries);
        }
        let entry = |(name, entry): &(String, Value)| format!("{}:{entry}", json!(name));
        let text = entries.iter().map(entry).collect::<Vec<_>>().join(",");
        let mut header = format!("{{{text}}}").into_bytes();
        edits.header.iter().for_each(|edit| edit.apply(&mut header));
        edits.data.iter().for_each(|edit| edit.apply(&mut data));
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header);
        file.extend(data);
        edits.file.iter().for_each(|edit| edit.apply(&mut file));
        file
    }
}

/// What is done to a file: to its entries, then to the text of its header and to the numbers, then to all bytes.
#[derive(Clone, Debug)]
pub struct Edits {
    entries: Vec<EntryEdit>,
    header: Vec<ByteEdit>,
    data: Vec<ByteEdit>,
    file: Vec<ByteEdit>,
}

/// One kind of edits at a time, so that a check is not always hidden by one before it.
pub fn edits(names: Vec<String>) -> impl Strategy<Value = Edits> {
    let none = Edits { entries: vec![], header: vec![], data: vec![], file: vec![] };
    let [none1, none2, none3, none4] = std::array::from_fn(|_| none.clone());
    let bytes = || prop::collection::vec(byte_edit(), 1..4);
    prop_oneof![
        5 => prop::collection::vec(entry_edit(names), 1..4).prop_map(move |entries| Edits { entries, ..none1.clone() }),
        3 => bytes().prop_map(move |header| Edits { header, ..none2.clone() }),
        1 => bytes().prop_map(move |data| Edits { data, ..none3.clone() }),
        2 => bytes().prop_map(move |file| Edits { file, ..none4.clone() }),
    ]
}

/// What is done to an entry of the header.
#[derive(Clone, Debug)]
enum EntryEdit {
    Remove(Index),
    Repeat(Index),
    SwapNames(Index, Index),
    Name(Index, String),
    Value(Index, Value),
    Field(Index, &'static str, Value),
}

impl EntryEdit {
    fn apply(&self, entries: &mut Vec<(String, Value)>) {
        if entries.is_empty() {
            return;
        }
        let len = entries.len();
        match self {
            Self::Remove(at) => _ = entries.remove(at.index(len)),
            Self::Repeat(at) => entries.push(entries[at.index(len)].clone()),
            Self::SwapNames(a, b) => {
                let (a, b) = (a.index(len), b.index(len));
                let name = entries[a].0.clone();
                entries[a].0 = std::mem::replace(&mut entries[b].0, name);
            }
            Self::Name(at, name) => entries[at.index(len)].0.clone_from(name),
            Self::Value(at, value) => entries[at.index(len)].1.clone_from(value),
            Self::Field(at, field, value) => {
                if let Value::Object(entry) = &mut entries[at.index(len)].1 {
                    entry.insert((*field).to_string(), value.clone());
                }
            }
        }
    }
}

fn entry_edit(names: Vec<String>) -> impl Strategy<Value = EntryEdit> {
    let index = any::<Index>;
    prop_oneof![
        index().prop_map(EntryEdit::Remove),
        index().prop_map(EntryEdit::Repeat),
        (index(), index()).prop_map(|(a, b)| EntryEdit::SwapNames(a, b)),
        (index(), name(names)).prop_map(|(at, name)| EntryEdit::Name(at, name)),
        (index(), value()).prop_map(|(at, value)| EntryEdit::Value(at, value)),
        (index(), dtype()).prop_map(|(at, value)| EntryEdit::Field(at, "dtype", value)),
        (index(), shape()).prop_map(|(at, value)| EntryEdit::Field(at, "shape", value)),
        (index(), offsets()).prop_map(|(at, value)| EntryEdit::Field(at, "data_offsets", value)),
        (index(), value()).prop_map(|(at, value)| EntryEdit::Field(at, "more", value)),
        (index(), setting()).prop_map(|(at, value)| EntryEdit::Field(
            at,
            "perceiver.max_freq",
            value
        )),
    ]
}

/// Names that mean something to some layout of checkpoints, and any others.
fn name(names: Vec<String>) -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "latents",
        "layers.0.0.fn.to_q.weight",
        "layers.1.0.fn.to_q.weight",
        "layers.00.cross_attn.fn.to_q.weight",
        "layers.9.cross_attn.fn.to_q.weight",
        "layers.18446744073709551616.cross_attn.norm.weight",
        "layers..norm",
        "layers.",
        "layers.0.cross.attention.to_q.weight",
        "layers.0.latent.0.norm.weight",
        "output.linear.weight",
        "norm.weight",
        "input.position",
        "to_logits.1.weight",
        "perceiver.encoder.x",
        "embedding_decoder.bias",
        "perceiver_io.latents",
        "input_adapter.txt_embedding.weight",
        "cross_attend_block.0.fn.to_q.weight",
        "__metadata__",
        "",
        ".",
        "..",
        "\0",
        "\u{1b}[31m",
        "\u{202e}",
        "a\nb",
        "model: latents",
        "moment 1: latents",
        "moment 2: ",
    ];
    prop_oneof![
        3 => select(names),
        2 => select(KNOWN).prop_map(str::to_string),
        2 => any::<String>(),
        1 => (any::<char>(), 0..3_000_usize).prop_map(|(letter, count)| letter.to_string().repeat(count)),
    ]
}

/// A setting in the metadata.
fn setting() -> impl Strategy<Value = Value> {
    prop_oneof![Just("4.0".into()), any::<String>()].prop_map(Value::from)
}

fn dtype() -> impl Strategy<Value = Value> {
    const DTYPES: &[&str] = &[
        "BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "I16",
        "U16", "F16", "BF16", "I32", "U32", "F32", "C64", "F64", "I64", "U64", "f32", "F128", "",
    ];
    prop_oneof![9 => select(DTYPES).prop_map(Value::from), 1 => value()]
}

/// Sizes, small and at the limits of what a number can be.
fn number() -> impl Strategy<Value = Value> {
    const LIMITS: &[u64] =
        &[0, 1 << 31, 1 << 32, (1 << 61) - 1, 1 << 62, 1 << 63, u64::MAX - 1, u64::MAX];
    prop_oneof![
        8 => (0..20_u64).prop_map(Value::from),
        2 => select(LIMITS).prop_map(Value::from).boxed(),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
    ]
}

fn shape() -> impl Strategy<Value = Value> {
    let len = prop_oneof![9 => 0..6_usize, 1 => 0..400_usize];
    let sizes = len.prop_flat_map(|len| prop::collection::vec(number(), len));
    prop_oneof![9 => sizes.prop_map(Value::from), 1 => value()]
}

fn offsets() -> impl Strategy<Value = Value> {
    let offset = || prop_oneof![(0..800_u64).prop_map(Value::from), number()];
    let pair = (offset(), offset()).prop_map(|(begin, end)| json!([begin, end]));
    prop_oneof![9 => pair, 1 => prop::collection::vec(offset(), 0..4).prop_map(Value::from), 1 => value()]
}

/// Any JSON.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        any::<String>().prop_map(Value::from),
        Just(json!({ "dtype": "F32", "shape": [0], "data_offsets": [0, 0] })),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// What is done to bytes.
#[derive(Clone, Debug)]
pub enum ByteEdit {
    Set(Index, u8),
    Flip(Index, u8),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize),
    Truncate(Index),
    Extend(Vec<u8>),
    /// The first eight bytes, which are the length of the header.
    Length(u64),
}

impl ByteEdit {
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        let range = |at: &Index, count: usize| at.index(len)..(at.index(len) + count).min(len);
        match self {
            Self::Set(at, byte) => bytes[at.index(len)] = *byte,
            Self::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Self::Remove(at, count) => _ = bytes.drain(range(at, *count)),
            Self::Insert(at, more) => {
                bytes.splice(at.index(len)..at.index(len), more.iter().copied());
            }
            Self::Repeat(at, count) => {
                let more = bytes[range(at, *count)].to_vec();
                bytes.splice(at.index(len)..at.index(len), more);
            }
            Self::Truncate(at) => bytes.truncate(at.index(len)),
            Self::Extend(more) => bytes.extend(more),
            Self::Length(length) => {
                let first = length.to_le_bytes();
                let count = first.len().min(len);
                bytes[..count].copy_from_slice(&first[..count]);
            }
        }
    }
}

pub fn byte_edit() -> impl Strategy<Value = ByteEdit> {
    let index = any::<Index>;
    let bytes = || {
        let json = select(&b"{}[]\":,\\u0e-19. \n"[..]);
        prop::collection::vec(prop_oneof![json, any::<u8>()], 1..12)
    };
    let length = prop_oneof![0..4_000_u64, 9_999_990..10_000_010_u64, any::<u64>()];
    prop_oneof![
        3 => (index(), bytes()).prop_map(|(at, bytes)| ByteEdit::Set(at, bytes[0])),
        3 => (index(), 0..8_u8).prop_map(|(at, bit)| ByteEdit::Flip(at, bit)),
        2 => (index(), 1..200_usize).prop_map(|(at, count)| ByteEdit::Remove(at, count)),
        2 => (index(), bytes()).prop_map(|(at, bytes)| ByteEdit::Insert(at, bytes)),
        2 => (index(), 1..600_usize).prop_map(|(at, count)| ByteEdit::Repeat(at, count)),
        1 => index().prop_map(ByteEdit::Truncate),
        1 => bytes().prop_map(ByteEdit::Extend),
        1 => length.prop_map(ByteEdit::Length),
    ]
}
