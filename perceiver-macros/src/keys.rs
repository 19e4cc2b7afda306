//! The keys of a declaration: one row each, which drives parsing, checking, defaults and documentation.

/// What a key's value has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number from 1 to `max`; `usize`.
    Count { max: u64 },
    /// A number above 0; `f64`.
    Positive,
    /// A number above 0 other than 1; `Option<f64>`.
    Base,
    /// A number of at least 0 and below 1; `f64`.
    Probability,
    /// `true` or `false`.
    Flag,
    /// `[axis 1, .., channels]`, each a count; `Option<[usize; N]>`.
    Shape,
}

/// What stands in for a key that is not given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// Nothing: the key has to be given.
    Required,
    /// Nothing, unless `fourier_encode_data: false` leaves the key without a meaning.
    RequiredToEncode,
    /// A literal.
    Value(&'static str),
    /// The key stays absent.
    Absent,
}

/// One key of a declaration.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub default: Default,
    /// What it is: a phrase.
    pub doc: &'static str,
}

const fn key(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
        doc,
    }
}

/// Bounds that no real model comes near, but a slip of the finger does.
pub const WIDTH: Kind = Kind::Count { max: MAX_WIDTH };
pub const MAX_WIDTH: u64 = 1 << 20;
const REPEATS: Kind = Kind::Count { max: 1 << 12 };

/// Every key, in the order in which the documentation lists them.
#[rustfmt::skip] // one key, one row
pub const KEYS: &[Key] = &[
    key("depth", REPEATS, Default::Required, "number of layers, each a cross attention and its self attentions"),
    key("num_freq_bands", REPEATS, Default::RequiredToEncode, "number of frequency bands of the position encoding, for each axis"),
    key("max_freq", Kind::Positive, Default::RequiredToEncode, "number of positions along an axis that the position encoding tells apart: its highest frequency is half of it"),
    key("input_channels", WIDTH, Default::Value("3"), "number of channels of a position of the input"),
    key("input_axis", Kind::Count { max: 4 }, Default::Value("2"), "number of axes of the input: 1 for a sequence, 2 for an image, 3 for a video; at most 4"),
    key("input_shape", Kind::Shape, Default::Absent, "sizes of all axes and the channels, `[224, 224, 3]`, in place of `input_axis` and `input_channels`"),
    key("num_latents", WIDTH, Default::Value("512"), "number of latents"),
    key("latent_dim", WIDTH, Default::Value("512"), "width of a latent"),
    key("cross_heads", REPEATS, Default::Value("1"), "number of heads of the cross attentions"),
    key("latent_heads", REPEATS, Default::Value("8"), "number of heads of the self attentions"),
    key("cross_dim_head", WIDTH, Default::Value("64"), "width of a head of the cross attentions"),
    key("latent_dim_head", WIDTH, Default::Value("64"), "width of a head of the self attentions"),
    key("num_classes", Kind::Count { max: 1 << 28 }, Default::Value("1000"), "number of logits"),
    key("attn_dropout", Kind::Probability, Default::Value("0.0"), "probability with which training drops an attention weight"),
    key("ff_dropout", Kind::Probability, Default::Value("0.0"), "probability with which training drops a value of a feed-forward"),
    key("freq_base", Kind::Base, Default::Absent, "base of logarithmically spaced frequency bands, as in the TensorFlow package; absent, the bands are linearly spaced, as in the paper"),
    key("weight_tie_layers", Kind::Flag, Default::Value("false"), "whether all layers but the first share one set of weights"),
    key("fourier_encode_data", Kind::Flag, Default::Value("true"), "whether the position encoding is appended to the input"),
    key("self_per_cross_attn", REPEATS, Default::Value("1"), "number of self attentions after each cross attention"),
    key("final_classifier_head", Kind::Flag, Default::Value("true"), "whether `forward` gives logits; without, it gives the latents"),
    key("inverted_cross_attn", Kind::Flag, Default::Value("false"), "whether the latents compete for each token (softmax over the latents)"),
];

/// The row of a key, if there is such a key.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// What else keys are called: in papers, and in other libraries.
#[rustfmt::skip] // one key, one row
pub const ALSO_CALLED: &[(&[&str], &[&str])] = &[
    (&["layer", "layers", "num_layer", "num_layers", "n_layer", "n_layers", "block", "blocks", "num_blocks", "n_blocks"], &["depth"]),
    (&["num_frequencies", "num_bands", "n_freq_bands"], &["num_freq_bands"]),
    (&["channels", "in_channels", "num_channels", "in_chans", "input_dim"], &["input_channels"]),
    (&["axes", "num_axes", "num_axis", "ndim"], &["input_axis"]),
    (&["image_size", "img_size", "image_shape", "input_size", "shape"], &["input_shape"]),
    (&["n_latents", "latents"], &["num_latents"]),
    (&["dim", "d_model", "d_latents", "embed_dim", "hidden_dim", "hidden_size", "width"], &["latent_dim"]),
    (&["n_head", "n_heads", "num_heads"], &["cross_heads", "latent_heads"]),
    (&["head_dim", "dim_heads"], &["cross_dim_head", "latent_dim_head"]),
    (&["n_classes", "num_labels", "num_outputs", "out_features", "vocab_size"], &["num_classes"]),
    (&["log_base", "freq_bases"], &["freq_base"]),
    (&["tie_weights", "tied_weights", "weight_tying", "share_weights"], &["weight_tie_layers"]),
    (&["fourier_encode", "encode_data", "position_encoding", "pos_encoding"], &["fourier_encode_data"]),
    (&["self_attn", "self_attns", "num_self_attns"], &["self_per_cross_attn"]),
    (&["final_head", "classifier_head"], &["final_classifier_head"]),
];

/// The keys that `name` may have been meant to be: the one that it is, those that it is another name or a part of, or
/// else the nearest, if one is near.
pub fn near(name: &str) -> Vec<&'static Key> {
    let name = name.to_lowercase();
    if let Some(key) = find(&name) {
        return vec![key];
    }
    let mut others = ALSO_CALLED.iter();
    if let Some((_, keys)) = others.find(|(others, _)| others.contains(&&*name)) {
        return keys.iter().filter_map(|key| find(key)).collect();
    }
    let with = |part: &str| -> Vec<_> {
        let is_part = |key: &&Key| part.len() >= 4 && key.name.contains(part);
        KEYS.iter().filter(is_part).collect()
    };
    let whole = with(&name);
    if !whole.is_empty() {
        return whole;
    }
    // That both are numbers of something does not make them alike.
    let number_of = name.strip_prefix("num_");
    let similarity = |key: &Key| match (number_of, key.name.strip_prefix("num_")) {
        (Some(what), Some(key)) => strsim::jaro_winkler(what, key),
        _ => strsim::jaro_winkler(&name, key.name),
    };
    let nearest = KEYS
        .iter()
        .map(|key| (similarity(key), key))
        .filter(|(similarity, _)| *similarity > 0.85)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match (nearest, number_of) {
        (Some((_, key)), _) => vec![key],
        (None, Some(what)) => with(what),
        (None, None) => Vec::new(),
    }
}

/// The message that there is no key `written`, which may have been meant to be one that is `near`.
pub fn unknown(written: &str, near: &[&Key]) -> String {
    let quoted = |key: &Key| format!("`{}`", key.name);
    let near: Vec<_> = near.iter().map(|key| quoted(key)).collect();
    let help = match &near[..] {
        [] => {
            let all: Vec<_> = KEYS.iter().map(quoted).collect();
            format!("the keys are {}", all.join(", "))
        }
        [key] => format!("did you mean {key}?"),
        [keys @ .., last] => format!("did you mean {} or {last}?", keys.join(", ")),
    };
    format!("there is no key `{written}`; {help}")
}

impl Key {
    /// Whether the macro has to see the value, since the expansion has other parts for another value.
    pub fn structural(&self) -> bool {
        matches!(self.name, "fourier_encode_data" | "final_classifier_head")
    }

    /// The documentation of the associated constant.
    pub fn sentence(&self) -> String {
        match self.kind {
            Kind::Flag => format!("W{}.", self.doc.trim_start_matches('w')),
            _ => format!("The {}.", self.doc),
        }
    }

    /// The name of the trait of what is in range.
    pub fn range(&self) -> String {
        let words = self.name.split('_');
        let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
        words.map(capital).collect()
    }

    /// The name of the associated constant.
    pub fn constant(&self) -> String {
        self.name.to_uppercase()
    }
}

impl Kind {
    /// What a value of this kind is, to complete "... has to be".
    pub fn expected(self) -> String {
        match self {
            Self::Count { max } => format!("a whole number from 1 to {max}"),
            Self::Positive => "a number above 0".into(),
            Self::Base => "a number above 0 other than 1".into(),
            Self::Probability => "a number of at least 0 and below 1".into(),
            Self::Flag => "`true` or `false`".into(),
            Self::Shape => {
                "an array of the sizes of one to four axes and the channels, as in `[224, 224, 3]`"
                    .into()
            }
        }
    }
}

/// The table of keys in Markdown, as the README and the documentation of `perceiver!` have it.
#[cfg(test)]
pub fn table() -> String {
    let mut table = String::from("| key | default | what it is |\n| --- | --- | --- |\n");
    for key in KEYS {
        let default = match key.default {
            Default::Required => "required".into(),
            Default::RequiredToEncode => "required¹".into(),
            Default::Value(value) => format!("`{value}`"),
            Default::Absent => "absent".into(),
        };
        table += &format!("| `{}` | {default} | {} |\n", key.name, key.doc);
    }
    table + "\n¹ unless `fourier_encode_data: false`\n"
}

/// The keys as Rust: the fields of a struct, which rust-analyzer completes and explains, and what the compiler says
/// about constants that are out of range.
#[cfg(test)]
pub fn module() -> String {
    let mut module =
        String::from("//! Written by the tests of `perceiver-macros`, from the table of keys.\n\n");
    module += "/// What rust-analyzer sees in place of a declaration's keys.\npub struct Keys {\n";
    for key in KEYS {
        module += &format!("    /// {}\n    pub {}: (),\n", key.sentence(), key.name);
    }
    module += "}\n\nimpl Keys {\n    /// No key.\n    pub const NONE: Self = Self {\n";
    for key in KEYS {
        module += &format!("        {}: (),\n", key.name);
    }
    module += "    };\n}\n\n/// What the compiler says about constants.\npub mod ranges {\n";
    module += "    pub use crate::declare::ranges::*;\n\n";
    for key in KEYS.iter().filter(|key| key.kind != Kind::Flag) {
        let Key { name, kind, .. } = key;
        let (each, expected) = match kind {
            Kind::Shape => ("each size of ", WIDTH.expected()),
            kind => ("", kind.expected()),
        };
        let range = key.range();
        let mut row = |which: &str, parameters: &str, found: &str| {
            module += &format!(
                "    range! {{ {which}{range}<{parameters}>, \"{each}`{name}` has to be {expected}, found {found}\" }}\n"
            );
        };
        if matches!(kind, Kind::Count { .. } | Kind::Shape) {
            row("", "WHOLE", "`{WHOLE}`");
        } else {
            let digits = "WHOLE, TENTHS, HUNDREDTHS, THOUSANDTHS";
            row("", digits, "`{WHOLE}.{TENTHS}{HUNDREDTHS}{THOUSANDTHS}`");
            row(
                "Negative",
                digits,
                "`-{WHOLE}.{TENTHS}{HUNDREDTHS}{THOUSANDTHS}`",
            );
            row("Endless", "", "`NaN` or an infinite number");
        }
    }
    module + "}\n"
}
