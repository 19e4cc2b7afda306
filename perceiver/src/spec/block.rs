//! The shape of a block: its heads, biases and feed-forward layer.

/// The shape of a [block](crate::nn::BlockView): its widths, heads, biases and feed-forward layer.
#[derive(Clone, Copy, Debug)]
pub struct BlockShape {
    /// The dimension of the rows that the block updates.
    pub dim: usize,
    /// The dimension of the context that they attend to; `None` if they attend to themselves.
    pub context: Option<usize>,
    /// The heads of the attention.
    pub heads: Heads,
    /// Which linear maps of the attention have a bias.
    pub bias: AttentionBias,
    /// The feed-forward layer; `None` if there is none.
    pub mlp: Option<Mlp>,
    /// Whether the result of the attention is added to the rows, or replaces them.
    pub residual: bool,
}

/// The heads of an attention layer.
///
/// ```
/// use perceiver::spec::Heads;
///
/// let heads = Heads::new(8, 64).with_values(256);
/// assert_eq!((heads.width(), heads.value_width(), heads.value_dim), (512, 256, 32));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The number of heads.
    pub count: usize,
    /// The dimension of the queries and keys of each head.
    pub dim: usize,
    /// The dimension of the values of each head.
    pub value_dim: usize,
}

impl Heads {
    /// Returns `count` heads whose queries, keys and values all have the dimension `dim`.
    #[must_use]
    pub const fn new(count: usize, dim: usize) -> Self {
        Self { count, dim, value_dim: dim }
    }

    /// Returns the same heads with values that are `width` wide together, which should be a multiple of their number.
    #[must_use]
    pub const fn with_values(self, width: usize) -> Self {
        let value_dim = match width.checked_div(self.count) {
            Some(dim) => dim,
            None => 0,
        };
        Self { value_dim, ..self }
    }

    /// Returns the width of the queries or of the keys of all heads together.
    #[must_use]
    pub const fn width(self) -> usize {
        self.count.saturating_mul(self.dim)
    }

    /// Returns the width of the values of all heads together.
    #[must_use]
    pub const fn value_width(self) -> usize {
        self.count.saturating_mul(self.value_dim)
    }

    /// Returns the width of the keys and values of all heads together.
    #[must_use]
    pub const fn key_value_width(self) -> usize {
        self.width().saturating_add(self.value_width())
    }

    /// Returns the factor that attention scores are multiplied by, `1 / √dim`.
    #[must_use]
    pub fn scale(self) -> f64 {
        (self.dim as f64).powf(-0.5)
    }
}

/// Which linear maps of an attention layer have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionBias {
    /// Whether the maps to queries, keys and values have a bias.
    pub input: bool,
    /// Whether the map back from the heads has a bias.
    pub output: bool,
}

impl AttentionBias {
    /// Only the map back from the heads has a bias, as in perceiver-pytorch.
    pub const OUTPUT: Self = Self { input: false, output: true };
    /// All maps have a bias, as in Hugging Face's Transformers.
    pub const ALL: Self = Self { input: true, output: true };
    /// No map has a bias.
    pub const NONE: Self = Self { input: false, output: false };

    /// Returns what the key `attn_bias` stands for: [`ALL`](Self::ALL) or [`NONE`](Self::NONE).
    #[must_use]
    pub const fn all(attn_bias: bool) -> Self {
        if attn_bias { Self::ALL } else { Self::NONE }
    }
}

/// The shape of a feed-forward layer, `contract(activation(expand(x)))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mlp {
    /// The activation between the two linear maps.
    pub activation: Activation,
    /// The width of the hidden layer, as a multiple of the input's.
    pub mult: usize,
    /// Whether the linear maps have biases.
    pub bias: bool,
}

impl Mlp {
    /// A gated hidden layer, four times as wide as the input, as in perceiver-pytorch.
    pub const GEGLU: Self = Self { activation: Activation::Geglu, mult: 4, bias: true };
}

/// The activation function of a feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `value · gelu(gate)`, where `(value, gate)` are the halves of what `expand` returns, and the GELU is exact
    /// ([GLU Variants Improve Transformer](https://arxiv.org/abs/2002.05202)).
    Geglu,
    /// The exact GELU, `x · Φ(x)`.
    Gelu,
    /// The GELU approximation `x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2`.
    TanhGelu,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`.
    SquaredRelu,
}

impl Activation {
    /// Returns the number of values that `expand` computes for each hidden value: 2 with a gate, otherwise 1.
    #[must_use]
    pub const fn inputs(self) -> usize {
        match self {
            Self::Geglu => 2,
            Self::Gelu | Self::TanhGelu | Self::Relu | Self::SquaredRelu => 1,
        }
    }
}
