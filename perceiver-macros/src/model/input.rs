//! What `forward` takes.

use proc_macro2::Ident;
use syn::Attribute;

use super::section::{Field, Section, Setting};
use super::value::{Named, Read, Scalar};
use super::{exclude, stem};
use crate::messages;
use crate::report::Report;
use crate::schema::{self, FLAT_INPUT, Key};

/// A tensor `(batch, axis 1, .., channels)`.
pub struct Input {
    pub extent: Extent,
    pub stem: Vec<Stem>,
    /// The sizes of the axes after the stem, if they are fixed; for each, which of the shape it is or comes from.
    pub sizes: Option<Vec<(usize, Scalar)>>,
    pub position: Position,
}

/// A step of a stem.
pub enum Stem {
    Patches(Vec<Scalar>),
    Linear(Scalar),
    ConvPool(Scalar),
}

pub enum Extent {
    /// Axes of any size.
    Axes { axes: Setting, channels: Setting },
    /// Ids.
    Text { vocab: Setting, max_len: Setting, dim: Setting },
    /// Several inputs.
    Modalities { list: Vec<Modality>, padding: Setting },
    /// Axes of these sizes; the last is that of the channels.
    Shape {
        /// What its key is called where it is given.
        name: &'static str,
        docs: Vec<Attribute>,
        sizes: Vec<Scalar>,
    },
}

/// One of several inputs.
pub struct Modality {
    pub name: Ident,
    pub docs: Vec<Attribute>,
    pub input: Input,
    pub mask: Option<Scalar>,
}

/// Fourier features. Without an encoding their numbers are what is given all the same, or 0.
pub struct Position {
    pub is_encoded: bool,
    pub bands: Setting,
    pub max_freq: MaxFreq,
    pub base: Option<Setting>,
    /// Whether the last position along an axis is 1.
    pub endpoint: Scalar,
    /// Learned rows in place of Fourier features.
    pub learned: Option<Learned>,
    /// The width of positions that come with the input.
    pub given: Option<Scalar>,
}

/// Learned rows.
pub struct Learned {
    pub channels: Scalar,
    pub project: Option<Scalar>,
}

pub enum MaxFreq {
    /// One for all axes.
    Same(Setting),
    /// One for each.
    PerAxis { docs: Vec<Attribute>, values: Vec<Scalar> },
}

/// The keys of an input, in one of the two forms in which they can be given.
struct Names {
    shape: &'static Key,
    axes: &'static Key,
    channels: &'static Key,
    bands: &'static Key,
    max_freq: &'static Key,
    base: &'static Key,
}

static FLAT: Names = Names {
    shape: &schema::INPUT_SHAPE,
    axes: &schema::INPUT_AXIS,
    channels: &schema::INPUT_CHANNELS,
    bands: &schema::NUM_FREQ_BANDS,
    max_freq: &schema::MAX_FREQ,
    base: &schema::FREQ_BASE,
};

static GRID: Names = Names {
    shape: &schema::SHAPE,
    axes: &schema::AXES,
    channels: &schema::CHANNELS,
    bands: &schema::BANDS,
    max_freq: &schema::GRID_MAX_FREQ,
    base: &schema::BASE,
};

impl Extent {
    /// The number of axes, if it is known.
    pub fn axes(&self) -> Option<u64> {
        match self {
            Self::Axes { axes, .. } => axes.value.count(),
            Self::Text { .. } | Self::Modalities { .. } => Some(1),
            Self::Shape { sizes, .. } => Some(sizes.len() as u64 - 1),
        }
    }

    /// The sizes of the axes, if they are fixed, with their numbers.
    pub fn sizes(&self) -> Option<Vec<(usize, Scalar)>> {
        match self {
            Self::Shape { sizes, .. } => {
                Some(sizes[..sizes.len() - 1].iter().cloned().enumerate().collect())
            }
            Self::Axes { .. } | Self::Text { .. } | Self::Modalities { .. } => None,
        }
    }
}

impl Input {
    pub fn new(root: &Section, name: &Ident, report: &mut Report) -> Self {
        let is_nested = root.is_given(&schema::INPUT);
        if is_nested {
            exclude(root, &schema::INPUT, FLAT_INPUT, report);
        }
        let input = root.field(&schema::INPUT).and_then(|field| field.read.as_ref());
        let several = matches!(input, Some(Read::Named(..)));
        let padding = root.field(&schema::INPUT_PADDING);
        if let Some(padding) = padding.filter(|_| !several && (input.is_some() || !is_nested)) {
            report.error(&padding.key, messages::needs_modalities("input_padding", "input"));
        }
        match input {
            Some(Read::Named(named)) => Self::several(named, root, name, report),
            Some(read) => {
                let (input, mask) = Self::one(read, name, report);
                if let (Some(_), Some(field)) = (mask, root.field(&schema::INPUT)) {
                    report.error(&field.key, messages::needs_modalities("mask", "input"));
                }
                input
            }
            // What is wrong with it has been reported.
            None if is_nested => Self::tokens(Scalar::literal("1")),
            None => {
                let is_encoded = root.is_on(&schema::FOURIER_ENCODE_DATA);
                let extent = Extent::new(root, &FLAT, report);
                let position = if is_encoded {
                    root.require(FLAT.bands, name, report);
                    root.require(FLAT.max_freq, name, report);
                    Position::fourier(root, &FLAT, (extent.axes(), "the input has"), report)
                } else {
                    Position::ignored(root, &extent, report)
                };
                Self::without_stem(extent, position)
            }
        }
    }

    /// A single input, and the rate at which its tokens are masked, if it has one.
    fn one(read: &Read, name: &Ident, report: &mut Report) -> (Self, Option<Scalar>) {
        match read {
            Read::Values(_, values) => {
                let dim = values.first().cloned().unwrap_or_else(|| Scalar::literal("1"));
                (Self::tokens(dim), None)
            }
            Read::Keys(variant, text) if variant.name == "Text" => {
                for key in [&schema::VOCAB, &schema::MAX_LEN, &schema::TEXT_DIM] {
                    text.require(key, name, report);
                }
                let vocab = text.setting(&schema::VOCAB, &schema::VOCAB);
                let max_len = text.setting(&schema::MAX_LEN, &schema::MAX_LEN);
                let dim = text.setting(&schema::TEXT_DIM, &schema::INPUT_CHANNELS);
                if let Some(field) = text.field(&schema::TEXT_POSITION)
                    && let Some(Read::List(list)) = &field.read
                    && !matches!(&list[..], [Read::Unit(_)])
                {
                    report.error(&field.key, messages::needs_causal("position: Rotary"));
                }
                let extent = Extent::Text { vocab, max_len, dim };
                (Self::without_stem(extent, Position::none()), None)
            }
            Read::Keys(variant, one_hot) if variant.name == "OneHot" => {
                one_hot.require(&schema::ONE_HOT_CLASSES, name, report);
                let axes = given(&schema::INPUT_AXIS, &schema::AXES, Scalar::literal("0"));
                let channels = one_hot.setting(&schema::ONE_HOT_CLASSES, &schema::INPUT_CHANNELS);
                let extent = Extent::Axes { axes, channels };
                let mask = one_hot.optional(&schema::MASK).map(|mask| mask.value);
                (Self::without_stem(extent, Position::none()), mask)
            }
            Read::Keys(_, grid) => (Self::grid(grid, name, report), None),
            _ => (Self::tokens(Scalar::literal("1")), None),
        }
    }

    fn several(named: &[Named], root: &Section, name: &Ident, report: &mut Report) -> Self {
        let list = named.iter().map(|Named { name: modality, docs, read }| {
            let (input, mask) = match read {
                Some(read) => Self::one(read, name, report),
                // What is wrong with it has been reported.
                None => (Self::tokens(Scalar::literal("1")), None),
            };
            Modality { name: modality.clone(), docs: docs.clone(), input, mask }
        });
        let list = list.collect();
        let padding = root.setting(&schema::INPUT_PADDING, &schema::INPUT_PADDING);
        Self::without_stem(Extent::Modalities { list, padding }, Position::none())
    }

    fn without_stem(extent: Extent, position: Position) -> Self {
        let sizes = extent.sizes();
        Self { extent, stem: Vec::new(), sizes, position }
    }

    fn tokens(dim: Scalar) -> Self {
        let axes = given(&schema::INPUT_AXIS, &schema::TOKEN_DIM, Scalar::literal("1"));
        let channels = given(&schema::INPUT_CHANNELS, &schema::TOKEN_DIM, dim);
        let position = Position::none();
        Self::without_stem(Extent::Axes { axes, channels }, position)
    }

    fn grid(grid: &Section, name: &Ident, report: &mut Report) -> Self {
        if !grid.is_given(GRID.shape) && grid.given(&[GRID.axes, GRID.channels]).is_empty() {
            if grid.is_missing(GRID.shape, report) {
                grid.report_missing(messages::missing_extent(), name, report);
            }
        } else if !grid.is_given(GRID.shape) {
            grid.require(GRID.axes, name, report);
            grid.require(GRID.channels, name, report);
        }
        let extent = Extent::new(grid, &GRID, report);
        let stem::Read { stem, sizes, axes } = stem::Read::new(grid, &extent, report);
        let position = match grid.choice(&schema::POSITION) {
            Some((variant, _, Some(learned))) if variant.name == "Learned" => {
                learned.require(&schema::POSITION_CHANNELS, name, report);
                if let (Extent::Axes { .. }, Some(field)) = (&extent, grid.field(&schema::POSITION))
                {
                    report.error(&field.key, messages::needs_shape("position: Learned"));
                }
                let number = |key| learned.setting(key, key).value;
                let project = learned.is_given(&schema::POSITION_PROJECT);
                Position {
                    learned: Some(Learned {
                        channels: number(&schema::POSITION_CHANNELS),
                        project: project.then(|| number(&schema::POSITION_PROJECT)),
                    }),
                    ..Position::none()
                }
            }
            Some((_, [width], _)) => {
                let moves = |step: &Stem| matches!(step, Stem::Patches(_) | Stem::ConvPool(_));
                if stem.iter().any(moves)
                    && let Some(field) = grid.field(&schema::POSITION)
                {
                    report.error(&field.key, messages::given_after_stem());
                }
                Position { given: Some(width.clone()), ..Position::none() }
            }
            Some((_, _, Some(fourier))) => {
                fourier.require(GRID.bands, name, report);
                fourier.require(GRID.max_freq, name, report);
                let whose =
                    if stem.is_empty() { "the input has" } else { "after its stem, the input has" };
                Position::fourier(fourier, &GRID, (axes, whose), report)
            }
            _ => Position::none(),
        };
        Self { extent, stem, sizes, position }
    }
}

/// A value without a key of its own, whose constant is that of `key`.
fn given(key: &'static Key, written: &'static Key, value: Scalar) -> Setting {
    Setting { key, name: written.name, is_given: true, docs: Vec::new(), value }
}

impl Extent {
    fn new(section: &Section, names: &'static Names, report: &mut Report) -> Self {
        let given = section.given(&[names.axes, names.channels]);
        let shape = section.field(names.shape);
        let sizes = match shape.and_then(|field| field.read.as_ref()) {
            Some(Read::Array(sizes)) => sizes.as_slice(),
            _ => &[],
        };
        if let Some(shape) = shape
            && let Some((channels, axes)) = sizes.split_last()
            && let Some(first) =
                [names.axes, names.channels].into_iter().find_map(|key| section.field(key))
        {
            let (name, channels) = (names.shape.name, messages::source(&channels.tokens));
            let message =
                messages::shape_conflict(&given, name, &shape.source, axes.len(), &channels);
            report.error(&first.key, message);
        }
        match shape {
            Some(shape) if !sizes.is_empty() => Self::Shape {
                name: names.shape.name,
                docs: shape.docs.clone(),
                sizes: sizes.to_vec(),
            },
            _ => Self::Axes {
                axes: section.setting(names.axes, &schema::INPUT_AXIS),
                channels: section.setting(names.channels, &schema::INPUT_CHANNELS),
            },
        }
    }
}

impl Position {
    /// The Fourier features of the positions of queries.
    pub fn of_queries(section: &Section, axes: u64, name: &Ident, report: &mut Report) -> Self {
        section.require(GRID.bands, name, report);
        section.require(GRID.max_freq, name, report);
        Self::fourier(section, &GRID, (Some(axes), "the grid of the queries has"), report)
    }

    fn fourier(
        section: &Section,
        names: &'static Names,
        (axes, whose): (Option<u64>, &str),
        report: &mut Report,
    ) -> Self {
        let base =
            section.is_given(names.base).then(|| section.setting(names.base, &schema::FREQ_BASE));
        let bands = section.setting(names.bands, &schema::NUM_FREQ_BANDS);
        let max_freq = match section.field(names.max_freq) {
            Some(Field { key, docs, read: Some(Read::Array(values)), .. }) => {
                let axes = axes.filter(|axes| *axes != values.len() as u64);
                if let Some(axes) = axes {
                    let message =
                        messages::max_freq_length(names.max_freq.name, values.len(), axes, whose);
                    report.error(key, message);
                }
                MaxFreq::PerAxis { docs: docs.clone(), values: values.clone() }
            }
            _ => MaxFreq::Same(section.setting(names.max_freq, &schema::MAX_FREQ)),
        };
        let endpoint = section.setting(&schema::ENDPOINT, &schema::ENDPOINT).value;
        Self { is_encoded: true, bands, max_freq, base, endpoint, learned: None, given: None }
    }

    pub fn none() -> Self {
        let zero = |key, zero| Setting {
            key,
            name: "",
            is_given: false,
            docs: Vec::new(),
            value: Scalar::literal(zero),
        };
        Self {
            is_encoded: false,
            bands: zero(&schema::NUM_FREQ_BANDS, "0"),
            max_freq: MaxFreq::Same(zero(&schema::MAX_FREQ, "0.0")),
            base: None,
            endpoint: Scalar::literal("true"),
            learned: None,
            given: None,
        }
    }

    /// None, though keys of one may be given.
    fn ignored(root: &Section, extent: &Extent, report: &mut Report) -> Self {
        let (none, given) =
            (Self::none(), Self::fourier(root, &FLAT, (extent.axes(), "the input has"), report));
        Self {
            is_encoded: false,
            bands: if root.is_given(FLAT.bands) { given.bands } else { none.bands },
            max_freq: if root.is_given(FLAT.max_freq) { given.max_freq } else { none.max_freq },
            base: given.base,
            endpoint: Scalar::literal("true"),
            learned: None,
            given: None,
        }
    }
}
