//! How the tensors of a model are arranged in its files.

use super::layout::{self, Layout};
use super::{Depth, Settings};
use crate::input::{GridSpec, Modality, ModalityInput};
use crate::model::OutputNames;
use crate::ops;
use crate::position::{Fourier, Position};
use crate::spec::{CausalNumbers, Family, Numbers};

/// The width and height of the kernel of a convolution that is one here, too.
const KERNEL: usize = 7;

/// The arrangement of a model's tensors in its family's files.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    layout: &'static Layout,
    depth: Depth,
    /// For blocks with this in their names, how many rows of a `to_kv` belong to keys.
    keys: [(&'static str, usize); 3],
    /// For each number of a token, where it is in files. Empty: where it is here.
    token: Vec<usize>,
    /// Whether the queries of the output are tokens.
    has_token_queries: bool,
    /// Whether linear layers of a stem are convolutions over one pixel in files.
    has_convolutions: bool,
    /// How many channels are rotated, if files have the frequencies of that.
    rotated: Option<usize>,
    /// The tables with a learned row for each position of a grid, and the sizes of its axes.
    grids: Vec<(String, Vec<usize>)>,
    /// Whether there is a learned query of the output for each position of a text.
    has_position_queries: bool,
    /// The settings that the tensors do not show.
    pub settings: Settings,
}

impl Format {
    pub fn new(
        numbers: &Numbers,
        family: Family,
        is_text: bool,
        output: OutputNames,
        grid: Option<GridSpec>,
        modalities: &[Modality],
        settings: Settings,
    ) -> Self {
        let stored = numbers.stored_layers;
        let all = match family {
            Family::PerceiverPytorch => numbers.depth,
            Family::Transformers => stored,
        };
        let token = match (family, grid) {
            (Family::Transformers, Some(grid)) => transformers_token(&grid),
            _ => Vec::new(),
        };
        let grids = grid.map(|grid| ("input.position_rows".into(), grid.token_shape()));
        let of_modality = |modality: &Modality| match &modality.input {
            ModalityInput::Grid(grid) => {
                Some((format!("input.{}.position_rows", modality.name), grid.token_shape()))
            }
            ModalityInput::Text(_) => None,
        };
        Self {
            layout: layout::of(family, is_text, output, numbers.cross_attends < numbers.depth),
            depth: Depth { stored, all },
            keys: [
                (".cross.", numbers.cross.heads.width()),
                (".latent.", numbers.latent.heads.width()),
                ("output.", numbers.decoder.heads.width()),
            ],
            token,
            has_token_queries: output == OutputNames::Tokens,
            has_convolutions: family == Family::Transformers,
            rotated: None,
            grids: grids.into_iter().chain(modalities.iter().filter_map(of_modality)).collect(),
            has_position_queries: output == OutputNames::Language,
            settings,
        }
    }

    /// That of a Perceiver AR.
    pub fn causal(numbers: &CausalNumbers, settings: Settings) -> Self {
        let [rotated, _] = numbers.rotated;
        Self {
            layout: layout::causal(),
            depth: Depth { stored: 1, all: 1 },
            keys: [
                (".cross.", numbers.cross.heads.width()),
                (".latent.", numbers.latent.heads.width()),
                ("output.", 0),
            ],
            token: Vec::new(),
            has_token_queries: false,
            has_convolutions: false,
            rotated: (rotated > 0).then_some(rotated),
            grids: Vec::new(),
            has_position_queries: false,
            settings,
        }
    }

    /// The frequencies of rotations, which files have beside the tensors of a model: their name and themselves.
    pub fn frequencies(&self) -> Option<(&'static str, Vec<f64>)> {
        self.rotated.map(|channels| (layout::FREQUENCIES, ops::frequencies(channels)))
    }

    /// The sizes of the axes of the positions for which one of this library's tensors has a learned row each, if it does.
    pub fn grid(&self, ours: &str, rows: usize) -> Option<Vec<usize>> {
        let is_text = ours.starts_with("input.") && ours.ends_with("positions.weight");
        if is_text || self.has_position_queries && ours == "output.query" {
            return Some(vec![rows]);
        }
        self.grids.iter().find(|(table, _)| table == ours).map(|(_, sizes)| sizes.clone())
    }

    /// Returns the names in files of one of this library's tensors: for each of the layers that share it, one for each of
    /// the tensors that it is split into.
    pub fn names(&self, ours: &str) -> Vec<Vec<String>> {
        self.depth.names(ours).iter().map(|name| self.layout.names(name)).collect()
    }

    /// Returns the current name of a tensor in a file.
    pub fn current(&self, name: &str) -> String {
        self.layout.current(name)
    }

    /// Splits the rows of one of this library's tensors among so many tensors in files.
    pub fn rows(&self, ours: &str, rows: usize, parts: usize) -> Vec<usize> {
        let keys = self.keys.iter().find(|(block, _)| ours.contains(block));
        match (parts, keys) {
            (2, Some(&(_, keys))) if keys <= rows => vec![keys, rows - keys],
            (parts, _) => vec![rows / parts.max(1); parts],
        }
    }

    /// What a checkpoint in this format is of.
    pub fn kind(&self) -> &'static str {
        self.layout.kind
    }

    /// The shape in files of one of this library's tensors, or of a part of it.
    pub fn shape(&self, ours: &str, rows: usize, shape: &[usize]) -> Vec<usize> {
        let mut shape = shape.to_vec();
        if let Some(first) = shape.first_mut() {
            *first = rows;
        }
        match (self.convolution(ours), shape.as_slice()) {
            (Some(size), &[outputs, inputs]) => vec![outputs, inputs / (size * size), size, size],
            _ => shape,
        }
    }

    /// The size of the kernel in files of one of this library's matrices, if it is one.
    fn convolution(&self, ours: &str) -> Option<usize> {
        let is_stem = ours.starts_with("input.");
        if is_stem && ours.ends_with("stem.0.conv.weight") {
            return Some(KERNEL);
        }
        (is_stem && self.has_convolutions && ours.ends_with("stem.0.weight")).then_some(1)
    }

    /// The tensor beside one of this library's that files have, too, but this library does not use: one `i64` that counts the
    /// batches that a batch norm has seen.
    pub fn counter(&self, ours: &str) -> Option<String> {
        let norm = ours.strip_suffix(".running_var")?;
        self.names(&format!("{norm}.num_batches_tracked")).pop()?.pop()
    }

    /// Arranges numbers, in rows of so many `columns`, as in files.
    pub fn file_order<E: Copy>(&self, ours: &str, columns: usize, numbers: &mut [E]) {
        self.arrange(ours, columns, numbers, |(here, there)| (there, here));
    }

    /// Arranges numbers of files as here.
    pub fn library_order<E: Copy>(&self, ours: &str, columns: usize, numbers: &mut [E]) {
        self.arrange(ours, columns, numbers, |places| places);
    }

    /// Moves numbers, where `order` makes the place to write and that to read of a place here and in files.
    fn arrange<E: Copy>(
        &self,
        ours: &str,
        columns: usize,
        numbers: &mut [E],
        order: impl Fn((usize, usize)) -> (usize, usize),
    ) {
        if let Some(size) = self.convolution(ours).filter(|size| *size > 1) {
            // Here a kernel has all channels of one pixel after another, in files all pixels of one channel.
            let (pixels, channels) = (size * size, columns / (size * size));
            let there = |here| here % channels * pixels + here / channels;
            let places: Vec<_> = (0..columns).map(there).collect();
            arrange(numbers, &places, 1, order);
            return;
        }
        match self.along_token(ours) {
            Some(Along::Columns) => arrange(numbers, &self.token, 1, order),
            Some(Along::Rows) => {
                arrange(numbers, &self.token, numbers.len() / self.token.len().max(1), order);
            }
            None => {}
        }
    }

    /// Whether the rows or the columns of one of this library's tensors are the numbers of a token.
    fn along_token(&self, ours: &str) -> Option<Along> {
        let is = |parts: &[&str]| parts.iter().any(|part| ours.contains(part));
        if is(&[".cross.norm_context.", ".cross.attention.to_kv.weight"]) {
            return Some(Along::Columns);
        }
        // A query has a token's width from the norm of its block to the projection.
        let columns = ["norm.weight", "norm.bias", "to_q.weight", "expand.weight", "linear.weight"];
        let rows = ["to_out.weight", "to_out.bias", "contract.weight", "contract.bias"];
        match self.has_token_queries && ours.starts_with("output.") {
            true if columns.iter().any(|name| ours.ends_with(name)) => Some(Along::Columns),
            true if rows.iter().any(|name| ours.ends_with(name)) => Some(Along::Rows),
            _ => None,
        }
    }
}

/// Moves every `width` numbers of each row from or to their `places` in files.
fn arrange<E: Copy>(
    numbers: &mut [E],
    places: &[usize],
    width: usize,
    order: impl Fn((usize, usize)) -> (usize, usize),
) {
    if places.is_empty() || width == 0 {
        return;
    }
    for numbers in numbers.chunks_exact_mut(places.len() * width) {
        let before = numbers.to_vec();
        for places in places.iter().copied().enumerate() {
            let (to, from) = order(places);
            numbers[to * width..][..width].copy_from_slice(&before[from * width..][..width]);
        }
    }
}

/// The rows or the columns of a matrix; a vector is a row.
enum Along {
    Rows,
    Columns,
}

/// Transformers have `[channels, position of all axes, sines of axis 1, .., cosines of axis 1, ..]` where this library has
/// `[channels, sines of axis 1, cosines of axis 1, position of axis 1, ..]`.
fn transformers_token(grid: &GridSpec) -> Vec<usize> {
    let Position::Fourier(Fourier { bands, .. }) = grid.position else {
        return Vec::new();
    };
    let (axes, channels) = (grid.token_axes(), grid.token_channels());
    let axis = |axis| {
        let sines = channels + axes + axis * bands;
        let cosines = sines + axes * bands;
        (sines..sines + bands).chain(cosines..cosines + bands).chain([channels + axis])
    };
    (0..channels).chain((0..axes).flat_map(axis)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::MaxFreq;

    #[test]
    fn every_number_of_a_token_has_one_place_in_files() {
        let grid = |channels, axes, bands| GridSpec {
            axes,
            channels,
            shape: &[],
            stem: &[],
            position: Position::Fourier(Fourier {
                bands,
                max_freq: MaxFreq::Same(8.0),
                base: None,
                endpoint: true,
            }),
        };
        assert_eq!(transformers_token(&grid(1, 2, 2)), [0, 3, 4, 7, 8, 1, 5, 6, 9, 10, 2]);
        let mut places = transformers_token(&grid(3, 3, 5));
        places.sort_unstable();
        assert!(places.into_iter().eq(0..3 + 3 * 11));
    }
}
