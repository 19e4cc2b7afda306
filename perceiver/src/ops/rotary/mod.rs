//! Rotation of queries and keys by their positions.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Record, Rows, check, plain_in_f64};
use crate::spec::Heads;

/// Rotary position embedding (arXiv 2104.09864).
pub trait RotaryKernel<E: Dtype>: KernelDevice<E> {
    /// Rotates pairs of channels, `(2i, 2i + 1)`, by the angles of their rows: the first channels of each head in
    /// `(batch, rows, width)`, as many as there are angles for; the others, and what comes after the heads, stay as they
    /// are.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    fn try_rotate(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        heads: Heads,
        angles: &Angles,
    ) -> Result<Rows<E, Self>, Self::Err> {
        fits(&x, heads, angles)?;
        if angles.pairs == 0 {
            return Ok(x);
        }
        let factors = factors(x.device(), *x.shape(), heads, angles)?;
        with_tape!(record, plain(x, factors))
    }
}

plain_in_f64!(RotaryKernel);

#[cfg(feature = "cuda")]
impl<E: super::cuda::Number> RotaryKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    fn try_rotate(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        heads: Heads,
        angles: &Angles,
    ) -> Result<Rows<E, Self>, CudaError> {
        fits(&x, heads, angles)?;
        match angles.pairs {
            0 => Ok(x),
            _ => cuda::forward(record, &x, heads, angles),
        }
    }
}

impl RotaryKernel<f32> for Cpu {
    fn try_rotate(
        record: &mut Record<f32, Self>,
        x: Rows<f32, Self>,
        heads: Heads,
        angles: &Angles,
    ) -> Result<Rows<f32, Self>, CpuError> {
        fits(&x, heads, angles)?;
        cpu::forward(record, x, heads, angles)
    }
}

/// The angles that rows are rotated by.
#[derive(Clone, Debug)]
pub struct Angles {
    /// The rows of each item.
    rows: usize,
    /// The pairs of channels of each head.
    pairs: usize,
    /// The cosine and sine for each pair of each row: of each item, or just of one if they are the same for all.
    table: Vec<[f64; 2]>,
}

impl Angles {
    /// The angles of `rows` rows of each item, whose positions are those of all items, or of each. So many `channels` of
    /// each head, an even number, are rotated: pair `i` by `position / 10000^(2i / channels)`.
    #[must_use]
    pub fn new(positions: &[usize], rows: usize, channels: usize) -> Self {
        let frequencies = frequencies(channels);
        let of_row = |&position: &usize| {
            frequencies.iter().map(move |frequency| {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                [cos, sin]
            })
        };
        Self { rows, pairs: frequencies.len(), table: positions.iter().flat_map(of_row).collect() }
    }

    /// Those of the last rows of each item.
    #[must_use]
    pub fn last(&self, rows: usize) -> Self {
        let rows = rows.min(self.rows);
        let skipped = (self.rows - rows) * self.pairs;
        let items = self.table.chunks((self.rows * self.pairs).max(1));
        let table = items.flat_map(|item| item.iter().skip(skipped).copied()).collect();
        Self { rows, pairs: self.pairs, table }
    }

    /// The pairs of each row.
    fn each_row(&self) -> impl Iterator<Item = &[[f64; 2]]> {
        self.table.chunks_exact(self.pairs.max(1))
    }
}

/// The frequencies of so many channels, as PyTorch computes them.
pub(crate) fn frequencies(channels: usize) -> Vec<f64> {
    let pairs = (0..channels / 2).map(|pair| 2.0 * pair as f32 / channels as f32);
    pairs.map(|power| f64::from(1.0 / 10_000.0_f32.powf(power))).collect()
}

fn fits<E: Dtype, D: KernelDevice<E>>(
    x: &Rows<E, D>,
    heads: Heads,
    angles: &Angles,
) -> Result<(), D::Err> {
    let (batch, rows, width) = *x.shape();
    let (angle_count, of_item) = (angles.table.len(), rows * angles.pairs);
    let rows_fit =
        angles.rows == rows && (angle_count == of_item || angle_count == batch * of_item);
    // Pairs of the whole row are those of its heads.
    let pairs_fit = width.is_multiple_of(2) && heads.dim.is_multiple_of(2);
    check(rows_fit && pairs_fit && heads.width() <= width && 2 * angles.pairs <= heads.dim)
}

/// The factors of each channel and of the other one in its pair, `(batch, rows, width)`.
#[allow(clippy::type_complexity)]
fn factors<E: Dtype, D: KernelDevice<E>>(
    device: &D,
    (batch, rows, width): (usize, usize, usize),
    heads: Heads,
    angles: &Angles,
) -> Result<[Rows<E, D>; 2], D::Err> {
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for pairs in angles.each_row() {
        let start = own.len();
        own.resize(start + width, E::ONE);
        other.resize(start + width, E::default());
        for (pair, &[cos, sin]) in pairs.iter().enumerate() {
            for head in 0..heads.count {
                let first = start + head * heads.dim + 2 * pair;
                own[first..first + 2].fill(E::from_f64(cos).unwrap_or_default());
                other[first] = E::from_f64(-sin).unwrap_or_default();
                other[first + 1] = E::from_f64(sin).unwrap_or_default();
            }
        }
    }
    let items = own.len() / (rows * width).max(1);
    let tensor = |numbers| -> Result<Rows<E, D>, D::Err> {
        let numbers = device.try_tensor_from_vec(numbers, (items, rows, width))?;
        if items == batch {
            return Ok(numbers);
        }
        let numbers: Tensor<(usize, usize), E, D> = numbers.try_reshape_like(&(rows, width))?;
        numbers.try_broadcast_like::<_, Axis<0>>(&(batch, rows, width))
    };
    Ok([tensor(own)?, tensor(other)?])
}

/// The reference implementation, in dfdx's own operations.
fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Rows<E, D, T>,
    [own, other]: [Rows<E, D>; 2],
) -> Result<Rows<E, D, T>, D::Err> {
    let shape = *x.shape();
    let pairs = (shape.num_elements() / 2, Const::<2>);
    let swap = x.device().try_tensor([[E::default(), E::ONE], [E::ONE, E::default()]])?;
    let swapped: Tensor<(usize, Const<2>), E, D, T> =
        x.with_empty_tape().try_contiguous()?.try_reshape_like(&pairs)?;
    let swapped: Tensor<(usize, Const<2>), E, D, T> = swapped.try_matmul(swap)?;
    let swapped: Rows<E, D, T> = swapped.try_reshape_like(&shape)?;
    x.try_mul(own)?.try_add(swapped.try_mul(other)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Device;
    use crate::ops::cpu::compare::{Outcome, assert_close, backward, numbers, samples, tensor};

    const HEADS: Heads = Heads { count: 3, dim: 6, value_dim: 4 };

    fn run<E: Dtype>(positions: &[usize], channels: usize) -> Outcome
    where
        Cpu: Device<E>,
    {
        let shape = (2, 4, HEADS.key_value_width());
        let x = tensor::<_, E>(shape, &samples(1, shape.num_elements()));
        let mut record = Record::new();
        let angles = Angles::new(positions, 4, channels);
        let y = Cpu::try_rotate(&mut record, x.clone(), HEADS, &angles).unwrap();
        let (y, gradients) = backward(record, y);
        vec![y, numbers(&gradients.get(&x))]
    }

    #[test]
    fn kernel_matches_reference() {
        for (positions, channels) in
            [(vec![0, 1, 2, 30], 6), (vec![0, 0, 1, 2, 5, 6, 7, 900], 4), (vec![9, 8, 7, 6], 2)]
        {
            let (kernel, plain) =
                (run::<f32>(&positions, channels), run::<f64>(&positions, channels));
            assert_close(&kernel, &plain, 1e-5);
        }
    }

    /// The first pair of a head is rotated by the position itself, channels that are not rotated and values stay.
    #[test]
    fn pairs_are_rotated() {
        let [y, _] = run::<f32>(&[0, 1, 2, 3], 2).try_into().unwrap();
        let (x, width) = (samples(1, 2 * 4 * 30), HEADS.key_value_width());
        for (row, (x, y)) in x.chunks(width).zip(y.chunks(width)).enumerate() {
            let (sin, cos) = ((row % 4) as f64).sin_cos();
            for (i, &y) in y.iter().enumerate() {
                let expected = match (i < 18, i % 6) {
                    (true, 0) => x[i] * cos - x[i + 1] * sin,
                    (true, 1) => x[i] * cos + x[i - 1] * sin,
                    _ => x[i],
                };
                assert!((y - expected).abs() < 1e-5, "channel {i} of row {row}");
            }
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_an_error() {
        let rotates = |shape: (usize, usize, usize), positions, channels| {
            let x = tensor::<_, f32>(shape, &vec![0.0; shape.num_elements()]);
            let angles = Angles::new(&vec![0; positions], shape.1, channels);
            Cpu::try_rotate(&mut Record::new(), x, HEADS, &angles).is_ok()
        };
        assert!(rotates((2, 4, 18), 8, 6));
        assert!(!rotates((2, 4, 18), 8, 8));
        assert!(!rotates((2, 4, 18), 5, 6));
        assert!(!rotates((2, 4, 16), 8, 6));
    }
}
