//! Learned positions for another grid.

use std::array;

/// The sizes of the axes of a grid of positions in a file, and in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grids {
    pub from: Vec<usize>,
    pub to: Vec<usize>,
}

impl Grids {
    /// Interpolates a table, which has a row for each position, along one axis after another. For two axes this is PyTorch's
    /// `interpolate(.., mode="bicubic", align_corners=False)`, whose weights are products of those of both axes.
    pub fn interpolate(&self, mut table: Vec<f64>) -> Vec<f64> {
        let mut sizes = self.from.clone();
        let mut axes: Vec<usize> = (0..sizes.len()).collect();
        // Those that become shorter come first, so that no step has more numbers than the first or the last.
        axes.sort_by_key(|axis| self.to[*axis] > self.from[*axis]);
        for axis in axes {
            let before: usize = sizes[..=axis].iter().product();
            let width = table.len() / before.max(1);
            table = along(&table, sizes[axis], self.to[axis], width);
            sizes[axis] = self.to[axis];
        }
        table
    }
}

/// Interpolates along an axis whose positions have `width` numbers each, those of all later axes.
fn along(numbers: &[f64], from: usize, to: usize, width: usize) -> Vec<f64> {
    let taps: Vec<_> = (0..to).map(|position| taps(position, from, to)).collect();
    let mut result = Vec::with_capacity(numbers.len() / (from * width).max(1) * to * width);
    for lines in numbers.chunks_exact((from * width).max(1)) {
        for taps in &taps {
            let number = |i| {
                taps.iter().map(|(place, weight)| weight * lines[place * width + i]).sum::<f64>()
            };
            result.extend((0..width).map(number));
        }
    }
    result
}

/// The positions that one of `to` positions is made of, and their weights: those of cubic convolution, as wide as the others
/// at the ends, which repeat.
fn taps(position: usize, from: usize, to: usize) -> [(usize, f64); 4] {
    // That of PyTorch.
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    // Positions are the middles of pixels, which cover the same length in both grids.
    let place = (position as f64 + 0.5) * (from as f64 / to as f64) - 0.5;
    let after = place - place.floor();
    let weights = [far(1.0 + after), near(after), near(1.0 - after), far(2.0 - after)];
    let last = from.saturating_sub(1) as f64;
    array::from_fn(|tap| {
        let place = place.floor() - 1.0 + tap as f64;
        (place.clamp(0.0, last) as usize, weights[tap])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpolate(from: &[usize], to: &[usize], table: &[f64]) -> Vec<f64> {
        Grids { from: from.into(), to: to.into() }.interpolate(table.to_vec())
    }

    #[test]
    fn the_same_grid_has_the_same_numbers() {
        let table: Vec<f64> = (0..3 * 4 * 2).map(|i| f64::from(i * i)).collect();
        assert_eq!(interpolate(&[3, 4], &[3, 4], &table), table);
        assert_eq!(interpolate(&[12], &[12], &table), table);
    }

    /// The axes do not depend on each other: a table of sums is interpolated to sums.
    #[test]
    fn each_axis_is_interpolated_by_itself() {
        let (first, second) = ([3.0, -1.0, 4.0, 1.5], [2.0, 7.0, -5.0]);
        let sums = |first: &[f64], second: &[f64]| -> Vec<f64> {
            first.iter().flat_map(|a| second.iter().map(move |b| a + b)).collect()
        };
        for to in [[6, 2], [2, 6], [3, 2], [6, 5]] {
            let found = interpolate(&[4, 3], &to, &sums(&first, &second));
            let expected =
                sums(&interpolate(&[4], &to[..1], &first), &interpolate(&[3], &to[1..], &second));
            let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert_eq!(found.len(), expected.len());
            assert!(apart < 1e-13, "{to:?}: {found:?}, {expected:?}");
        }
    }

    #[test]
    fn what_is_alike_everywhere_stays_so() {
        let found = interpolate(&[2, 1, 3], &[3, 5, 2], &[0.25; 6 * 2]);
        assert_eq!(found.len(), 3 * 5 * 2 * 2);
        assert!(found.iter().all(|x| (x - 0.25).abs() < 1e-15), "{found:?}");
    }

    /// Both ends are treated alike.
    #[test]
    fn turned_round_it_is_the_same() {
        let mut table = vec![3.0, 1.0, -4.0, 1.5, -5.0, 9.0, 2.0];
        for to in [1, 3, 6, 8, 20] {
            let found = interpolate(&[7], &[to], &table);
            table.reverse();
            let turned = interpolate(&[7], &[to], &table);
            let apart = found.iter().rev().zip(&turned).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f64::max) < 1e-13, "{found:?}, {turned:?}");
        }
    }
}
