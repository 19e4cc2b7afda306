//! Numbers of tensors of any type, and how far apart they are.

use perceiver::prelude::*;

/// `count` numbers between -2 and 2 that every data type has.
pub fn samples(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        ((state >> 33) % 257) as f64 / 64.0 - 2.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

pub fn tensor<S: Shape, E: Dtype, D: Device<E>>(
    dev: &D,
    numbers: &[f64],
    shape: S,
) -> Tensor<S, E, D> {
    let numbers = numbers.iter().map(|&x| E::from_f64(x).unwrap()).collect();
    dev.tensor_from_vec(numbers, shape)
}

pub fn numbers<S: Shape, E: Dtype, D: Device<E>, T>(tensor: &Tensor<S, E, D, T>) -> Vec<f64> {
    let numbers = tensor.as_vec();
    numbers.iter().map(|x| x.to_f64().unwrap()).collect()
}

/// The gradients of a sum of `y`, each number times one of its own, and `y`.
pub fn backward<S: Shape, E: Dtype, D: Device<E>>(
    y: Tensor<S, E, D, OwnedTape<E, D>>,
) -> (Vec<f64>, Gradients<E, D>) {
    let (y, tape) = y.split_tape();
    let shape = *y.shape();
    let factors = tensor(y.device(), &samples(77, shape.num_elements()), shape);
    let out = numbers(&y);
    let loss = (y.put_tape(tape) * factors).sum::<Rank0, S::AllAxes>();
    (out, loss.backward())
}

/// The largest difference, by the largest number expected: infinite where one of them is no number or infinite.
pub fn apart(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    if found.iter().chain(expected).any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    let largest = expected.iter().fold(f64::MIN_POSITIVE, |a, b| a.max(b.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f64::max) / largest
}

/// What does not hold, all of it.
#[derive(Default)]
pub struct Failures(Vec<String>);

impl Failures {
    pub fn unless(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.0.push(otherwise());
        }
    }

    /// `found` has to be as close to `expected` as `tolerance`, by the largest number.
    pub fn apart(&mut self, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
        self.finite(what, found);
        let apart = apart(found, expected);
        self.unless(apart <= tolerance, || format!("{what}: {apart:.1e} of the largest apart"));
    }

    pub fn finite(&mut self, what: &str, found: &[f64]) {
        let wild = found.iter().filter(|x| !x.is_finite()).count();
        self.unless(wild == 0, || format!("{what}: {wild} of {} are not finite", found.len()));
    }

    pub fn zero(&mut self, what: &str, found: impl Iterator<Item = f64>) {
        let wrong: Vec<f64> = found.filter(|&x| x != 0.0).collect();
        self.unless(wrong.is_empty(), || {
            format!("{what}: {} are not 0 but such as {}", wrong.len(), wrong[0])
        });
    }

    #[track_caller]
    pub fn assert_none(self) {
        assert!(self.0.is_empty(), "\n    {}\n", self.0.join("\n    "));
    }
}
