//! How the tensors of a model are arranged in its files.

use super::Depth;
use super::layout::{self, Layout};
use crate::model::OutputNames;
use crate::position::Position;
use crate::spec::{Family, Numbers};

/// The arrangement of a model's tensors in its family's files.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    layout: &'static Layout,
    depth: Depth,
    /// For blocks with this in their names, how many rows of a `to_kv` belong to keys.
    keys: [(&'static str, usize); 3],
    /// For each number of a token, where it is in files. Empty: where it is here.
    token: Vec<usize>,
}

impl Format {
    pub fn new(
        numbers: &Numbers,
        family: Family,
        is_text: bool,
        output: OutputNames,
        (axes, channels): (usize, usize),
    ) -> Self {
        let stored = numbers.stored_layers;
        let (all, token) = match (family, numbers.position) {
            (Family::PerceiverPytorch, _) => (numbers.depth, Vec::new()),
            (Family::Transformers, Position::None) => (stored, Vec::new()),
            (Family::Transformers, Position::Fourier(fourier)) => {
                (stored, transformers_token(channels, axes, fourier.bands))
            }
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
        }
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

    /// Arranges numbers as in files.
    pub fn file_order<E: Copy>(&self, ours: &str, numbers: &mut [E]) {
        self.arrange(ours, numbers, |row, place, before| row[place.1] = before[place.0]);
    }

    /// Arranges numbers of files as here.
    pub fn library_order<E: Copy>(&self, ours: &str, numbers: &mut [E]) {
        self.arrange(ours, numbers, |row, place, before| row[place.0] = before[place.1]);
    }

    fn arrange<E: Copy>(
        &self,
        ours: &str,
        numbers: &mut [E],
        set: impl Fn(&mut [E], (usize, usize), &[E]),
    ) {
        let has_token = ours.contains(".cross.norm_context.")
            || ours.ends_with(".cross.attention.to_kv.weight");
        if self.token.is_empty() || !has_token {
            return;
        }
        for row in numbers.chunks_exact_mut(self.token.len()) {
            let before = row.to_vec();
            for (here, &there) in self.token.iter().enumerate() {
                set(row, (here, there), &before);
            }
        }
    }
}

/// Transformers have `[channels, position of all axes, sines of axis 1, .., cosines of axis 1, ..]` where this library has
/// `[channels, sines of axis 1, cosines of axis 1, position of axis 1, ..]`.
fn transformers_token(channels: usize, axes: usize, bands: usize) -> Vec<usize> {
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

    #[test]
    fn every_number_of_a_token_has_one_place_in_files() {
        assert_eq!(transformers_token(1, 2, 2), [0, 3, 4, 7, 8, 1, 5, 6, 9, 10, 2]);
        let mut places = transformers_token(3, 3, 5);
        places.sort_unstable();
        assert!(places.into_iter().eq(0..3 + 3 * 11));
    }
}
