//! Rows of embeddings.

pub(crate) mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Matrix, Record, Rows, check, matrix, plain_in_f64, residual};

/// Where rows are read, `(batch, tokens)`.
pub type Places<D> = Tensor<(usize, usize), usize, D>;

/// Rows of embeddings.
pub trait EmbedKernel<E: Dtype>: KernelDevice<E> {
    /// Adds up the rows of each table at its places: `(batch, tokens, width)`. A place must be less than the number of rows;
    /// one that is not is an error or, on a `Cuda`, a row of NaN, as the host does not see it.
    ///
    /// # Errors
    /// If there is no table, their sizes do not match, or the device runs out of memory.
    fn try_embed(
        record: &mut Record<E, Self>,
        tables: &[(&Matrix<E, Self>, &Places<Self>)],
    ) -> Result<Rows<E, Self>, Self::Err> {
        fits(tables)?;
        plain(record, tables)
    }
}

plain_in_f64!(EmbedKernel);

#[cfg(feature = "cuda")]
impl<E: super::cuda::Number> EmbedKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    fn try_embed(
        record: &mut Record<E, Self>,
        tables: &[(&Matrix<E, Self>, &Places<Self>)],
    ) -> Result<Rows<E, Self>, CudaError> {
        fits(tables)?;
        cuda::forward(record, tables)
    }
}

impl EmbedKernel<f32> for Cpu {
    fn try_embed(
        record: &mut Record<f32, Self>,
        tables: &[(&Matrix<f32, Self>, &Places<Self>)],
    ) -> Result<Rows<f32, Self>, CpuError> {
        fits(tables)?;
        cpu::forward(record, tables)
    }
}

fn fits<E: Dtype, D: KernelDevice<E>>(
    tables: &[(&Matrix<E, D>, &Places<D>)],
) -> Result<(), D::Err> {
    let sizes = |(table, places): &(&Matrix<E, D>, &Places<D>)| (table.shape().1, *places.shape());
    check(tables.first().is_some_and(|first| tables.iter().all(|t| sizes(t) == sizes(first))))
}

/// The reference implementation, in dfdx's own operations.
fn plain<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    tables: &[(&Matrix<E, D>, &Places<D>)],
) -> Result<Rows<E, D>, D::Err> {
    fn rows_at<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        table: Tensor<(usize, usize), E, D, T>,
        places: Places<D>,
    ) -> Result<Rows<E, D, T>, D::Err> {
        // Not sliced where places follow each other: dfdx's `slice` overwrites the gradient of what it slices.
        table.try_gather(places)
    }
    let mut sum = None;
    for (table, places) in tables {
        let rows = with_tape!(record, rows_at(matrix(table), (*places).clone()))?;
        sum = Some(residual::plain_added(record, rows, sum.as_ref())?);
    }
    sum.ok_or_else(super::WrongSize::wrong_size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Device;
    use crate::ops::cpu::compare::{Outcome, assert_close, backward, matrix, numbers, samples};

    fn run<E: Dtype>((batch, tokens): (usize, usize), width: usize, rows: [usize; 2]) -> Outcome
    where
        Cpu: Device<E>,
    {
        let dev = Cpu::default();
        // Some rows more than once, and some never.
        let places = rows.map(|rows| {
            let places = (0..batch * tokens).map(|i| i * i * 7 % rows).collect();
            dev.tensor_from_vec::<(usize, usize)>(places, (batch, tokens))
        });
        let tables = rows.map(|rows| matrix(rows, width, &samples(rows as u64, rows * width)));
        let mut record = Record::new();
        let both = [(&tables[0], &places[0]), (&tables[1], &places[1])];
        let y = Cpu::try_embed(&mut record, &both).unwrap();
        let (y, gradients) = backward(record, y);
        let [first, second] = &tables;
        vec![y, numbers(&gradients.get(first)), numbers(&gradients.get(second))]
    }

    #[test]
    fn kernel_matches_reference() {
        for (shape, width, rows) in
            [((1, 1), 1, [1, 1]), ((2, 3), 5, [4, 40]), ((3, 70), 333, [262, 80])]
        {
            assert_close(&run::<f32>(shape, width, rows), &run::<f64>(shape, width, rows), 1e-5);
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_an_error() {
        let dev = Cpu::default();
        let (narrow, wide) = (matrix(4, 3, &[0.0; 12]), matrix(3, 4, &[0.0; 12]));
        let places = |len| dev.zeros_like(&(1, len));
        let (two, three) = (places(2), places(3));
        let fits = |tables: &[(&Matrix<f32, Cpu>, &Places<Cpu>)]| {
            Cpu::try_embed(&mut Record::new(), tables).is_ok()
        };
        assert!(fits(&[(&narrow, &two), (&narrow, &two)]));
        assert!(!fits(&[(&narrow, &two), (&wide, &two)]));
        assert!(!fits(&[(&narrow, &two), (&narrow, &three)]));
        assert!(!fits(&[]));
        let beyond = dev.tensor_from_vec(vec![0, 4], (1, 2));
        assert!(!fits(&[(&narrow, &beyond)]));
    }
}
