//! The kernel for `Cuda`: one launch for all parameters, and one that moves the results, since dfdx only tells that a
//! parameter's memory is nothing else's when it fills it.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use dfdx::prelude::*;

use super::{AdamKernel, AdamStep};
use crate::cuda::memory_is_an_error;
use crate::ops::cuda::{Array, Gpu, Grid, Memory, Number, Source, address, memory_of, numbers_in};
use crate::ops::{KernelDevice, check};

const SOURCE: Source = Source { name: "adam", text: include_str!("adam.cu") };

/// The numbers of a chunk.
const CHUNK: usize = 1 << 16;

/// Parameters, cut into chunks, as `adam.cu` has them.
#[derive(Debug)]
pub struct Chunks<E> {
    gpu: Option<&'static Gpu>,
    rows: Vec<[u64; 10]>,
    /// The number of chunks of each parameter.
    counts: Vec<usize>,
    /// The parameters, and their chunks, that can be written to.
    released: [usize; 2],
    /// The settings of one of the parameters; those that differ are in the rows.
    step: Option<AdamStep>,
    number: PhantomData<E>,
}

impl<E> Default for Chunks<E> {
    fn default() -> Self {
        Self {
            gpu: None,
            rows: Vec::new(),
            counts: Vec::new(),
            released: [0; 2],
            step: None,
            number: PhantomData,
        }
    }
}

impl<E> Chunks<E> {
    /// Adds a parameter of so many numbers, with the addresses of itself, its gradient and its moments.
    fn add(&mut self, gpu: &'static Gpu, addresses: [u64; 4], len: usize, step: Option<&AdamStep>) {
        self.gpu = Some(gpu);
        self.step = step.copied().or(self.step);
        let (first, count) = (self.rows.len() as u64, len.div_ceil(CHUNK));
        let [rate, decay] =
            step.map_or([0; 2], |step| [step.rate_factor.to_bits(), step.weight_decay.to_bits()]);
        let is_scaled = step.is_some_and(|step| step.trust_ratio);
        for start in (0..len).step_by(CHUNK) {
            let [parameter, gradient, first_moment, second_moment] =
                addresses.map(|address| address + (start * size_of::<E>()) as u64);
            self.rows.push([
                parameter,
                gradient,
                first_moment,
                second_moment,
                CHUNK.min(len - start) as u64,
                rate,
                decay,
                u64::from(is_scaled),
                first,
                count as u64,
            ]);
        }
        self.counts.push(count);
    }
}

/// Runs a kernel with a block for each chunk.
fn launch<E: Number>(
    chunks: &Chunks<E>,
    gpu: &Gpu,
    name: &'static str,
    sums: Option<&Memory<f64>>,
    settings: &[f64],
) -> Result<(), CudaError> {
    let rows = chunks.rows.as_flattened().iter().flat_map(|number| number.to_ne_bytes());
    let table = gpu.bytes(rows.collect())?;
    let mut arguments = vec![table.address()];
    arguments.extend(sums.map(Memory::address));
    arguments.extend(settings.iter().map(|number| number.to_bits()));
    let grid = Grid::blocks(chunks.rows.len());
    // SAFETY: each chunk is a part of a parameter, and of what belongs to it.
    unsafe { gpu.launch::<E>(&SOURCE, &[], name, grid, &arguments) }
}

impl<E: Number> AdamKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    // What is copied when it is cloned.
    type Numbers = <Self as Storage<E>>::Vec;
    type Together = Chunks<E>;

    fn try_numbers(&self, numbers: Vec<E>) -> Result<Self::Numbers, CudaError> {
        memory_of(self, &numbers)
    }

    fn to_vec(numbers: &Self::Numbers) -> Vec<E> {
        // Numbers that cannot be read are none, which no file can be made from.
        numbers_in(numbers).unwrap_or_default()
    }

    fn try_measure<S: Shape>(
        parameter: &Tensor<S, E, Self>,
        gradients: &mut Gradients<E, Self>,
        together: &mut Self::Together,
    ) -> Result<(), CudaError> {
        let parameter = Array::as_it_is(parameter)?;
        let len = parameter.tensor.shape().num_elements();
        let addresses = [0, parameter.gradient(gradients)?, 0, 0];
        together.add(parameter.gpu, addresses, len, None);
        Ok(())
    }

    fn try_square_sums(&self, together: Self::Together) -> Result<Vec<f64>, CudaError> {
        let Some(gpu) = together.gpu else {
            return Ok(Vec::new());
        };
        let sums = Memory::<f64>::new(self, together.rows.len())?;
        launch(&together, gpu, "sum_squares", Some(&sums), &[])?;
        let sums = sums.numbers()?;
        let mut rest = &sums[..];
        let of_parameters = together.counts.iter().map(|&count| {
            let (chunks, after) = rest.split_at(count);
            rest = after;
            chunks.iter().sum()
        });
        Ok(of_parameters.collect())
    }

    fn try_step<S: Shape>(
        parameter: &mut Tensor<S, E, Self>,
        gradients: &mut Gradients<E, Self>,
        moments: &mut [Self::Numbers; 2],
        step: &AdamStep,
        together: &mut Self::Together,
    ) -> Result<(), CudaError> {
        let array = Array::as_it_is(parameter)?;
        let len = parameter.shape().num_elements();
        check::<CudaError>(
            moments.iter().all(|moment| Storage::<E>::len(parameter.device(), moment) == len),
        )?;
        let [first, second] = moments.each_ref().map(address::<E>);
        let addresses = [array.address, array.gradient(gradients)?, first, second];
        together.add(array.gpu, addresses, len, Some(step));
        Ok(())
    }

    fn try_update(&self, together: &Self::Together) -> Result<(), CudaError> {
        let (Some(gpu), Some(step)) = (together.gpu, together.step) else {
            return Ok(());
        };
        let is_scaled = together.rows.iter().any(|row| row[7] == 1);
        let sums = Memory::<f64>::new(self, 2 * together.rows.len())?;
        let [first, second] = step.corrections();
        let settings = [
            step.learning_rate,
            step.betas[0],
            step.betas[1],
            1.0 / first,
            1.0 / second.sqrt(),
            step.epsilon,
            step.factor,
            step.limit,
        ];
        launch(together, gpu, "update", Some(&sums), &settings)?;
        match is_scaled {
            true => launch(together, gpu, "scale", Some(&sums), &[step.learning_rate]),
            false => Ok(()),
        }
    }

    fn try_release<S: Shape>(
        parameter: &mut Tensor<S, E, Self>,
        together: &mut Self::Together,
    ) -> Result<(), CudaError> {
        // What shares its memory, such as a clone of the model, keeps its numbers.
        memory_is_an_error(|| parameter.try_fill_with_zeros())?;
        let address = Array::as_it_is(parameter)?.address;
        let [parameters, chunks] = together.released;
        let count = together.counts.get(parameters).copied().unwrap_or(0);
        for (i, row) in together.rows.iter_mut().skip(chunks).take(count).enumerate() {
            row[0] = address + (i * CHUNK * size_of::<E>()) as u64;
        }
        together.released = [parameters + 1, chunks + count];
        Ok(())
    }

    fn try_write(&self, mut together: Self::Together) -> Result<(), CudaError> {
        let [_, released] = together.released;
        together.rows.truncate(released);
        match together.gpu {
            Some(gpu) => launch(&together, gpu, "finish", None, &[]),
            None => Ok(()),
        }
    }

    fn try_average<S: Shape>(
        parameter: &Tensor<S, E, Self>,
        average: &mut Self::Numbers,
        _decay: f64,
        together: &mut Self::Together,
    ) -> Result<(), CudaError> {
        let len = parameter.shape().num_elements();
        check::<CudaError>(Storage::<E>::len(parameter.device(), average) == len)?;
        let parameter = Array::as_it_is(parameter)?;
        let addresses = [parameter.address, 0, address::<E>(average), 0];
        together.add(parameter.gpu, addresses, len, None);
        Ok(())
    }

    fn try_write_averages(&self, decay: f64, together: Self::Together) -> Result<(), CudaError> {
        match together.gpu {
            Some(gpu) => launch(&together, gpu, "average", None, &[decay]),
            None => Ok(()),
        }
    }
}
