//! Random choices of forward passes.
//!
//! They are those of the device, whose generator dfdx neither shows nor sets; or, within [`with_dropout_seed`], of a seed.

use std::cell::RefCell;

use dfdx::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::KernelDevice;

thread_local! {
    static SEEDED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// Calls `run`, with dropout in the forward passes that it makes on this thread determined by `seed` alone.
///
/// ```
/// use perceiver::prelude::*;
/// use perceiver::train::with_dropout_seed;
///
/// perceiver! {
///     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8,
///         latent_dim: 32, latent_heads: 2, num_classes: 10, ff_dropout: 0.5 }
/// }
///
/// let dev = Cpu::default();
/// let mut model = dev.build_module::<Digits, f32>();
/// let image: Tensor<Rank4<1, 8, 8, 1>, f32, _> = dev.sample_normal();
/// let mut train = |seed| {
///     with_dropout_seed(seed, || model.forward_mut(image.clone().leaky_trace()).array())
/// };
/// assert_eq!(train(1), train(1));
/// assert_ne!(train(1), train(2));
/// ```
pub fn with_dropout_seed<R>(seed: u64, run: impl FnOnce() -> R) -> R {
    /// Puts back what was before, also after a panic.
    struct Before(Option<StdRng>);

    impl Drop for Before {
        fn drop(&mut self) {
            SEEDED.set(self.0.take());
        }
    }

    let _before = Before(SEEDED.replace(Some(StdRng::seed_from_u64(seed))));
    run()
}

/// `count` numbers from 0 to 1, if there is a seed.
fn seeded(count: usize) -> Option<Vec<f64>> {
    SEEDED.with_borrow_mut(|rng| {
        let rng = rng.as_mut()?;
        Some((0..count).map(|_| rng.r#gen()).collect())
    })
}

/// A seed for the choices of one operation.
#[cfg(feature = "cuda")]
pub(super) fn seed(device: &impl RandomU64) -> u64 {
    let seeded = SEEDED.with_borrow_mut(|rng| rng.as_mut().map(|rng| rng.r#gen()));
    seeded.unwrap_or_else(|| device.random_u64())
}

/// Sets numbers to 0 at this rate, and multiplies the others by 1 / (1 - `rate`).
///
/// # Errors
/// If the device runs out of memory.
pub(crate) fn dropout<S: Shape, E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Tensor<S, E, D, T>,
    rate: f64,
) -> Result<Tensor<S, E, D, T>, D::Err> {
    let Some(numbers) = seeded(x.shape().num_elements()) else {
        return x.try_dropout(rate);
    };
    let kept = E::from_f64(1.0 / (1.0 - rate)).unwrap_or(E::ONE);
    let factors = numbers.into_iter().map(|x| if x < rate { E::default() } else { kept }).collect();
    let factors = x.device().try_tensor_from_vec(factors, *x.shape())?;
    x.try_mul(factors)
}

/// Numbers by which `(rows, width)` can be put in a random order, row by row.
///
/// # Errors
/// If the device runs out of memory.
pub(crate) fn order<E: Dtype, D: KernelDevice<E>>(
    device: &D,
    shape: (usize, usize),
) -> Result<Vec<f64>, D::Err> {
    if let Some(numbers) = seeded(shape.0 * shape.1) {
        return Ok(numbers);
    }
    let mut order: Tensor<(usize, usize), E, D> = device.try_zeros_like(&shape)?;
    crate::nn::init::normal(&mut order)?;
    Ok(order.as_vec().iter().map(|x| x.to_f64().unwrap_or_default()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dropped_at_the_rate_and_as_the_seed_says() {
        let dev = Cpu::default();
        let dropped = |seed| {
            let ones: Tensor<(usize,), f32, _> = dev.ones_like(&(2000,));
            with_dropout_seed(seed, || dropout(ones, 0.25)).unwrap().as_vec()
        };
        let numbers = dropped(1);
        assert!(numbers.iter().all(|x| *x == 0.0 || *x == 1.0 / 0.75));
        let zeros = numbers.iter().filter(|x| **x == 0.0).count();
        assert!((400..600).contains(&zeros), "{zeros} of 2000");
        assert_eq!(dropped(1), numbers);
        assert_ne!(dropped(2), numbers);
    }

    #[test]
    fn a_seed_ends_with_its_function() {
        with_dropout_seed(1, || {
            let first = seeded(2);
            let inner = with_dropout_seed(2, || seeded(2));
            assert_ne!(first, inner);
            assert_ne!(seeded(2), first);
            let panic =
                std::panic::catch_unwind(|| with_dropout_seed(3, || panic!("as it should")));
            assert!(panic.is_err() && seeded(1).is_some());
        });
        assert!(seeded(1).is_none());
    }
}
