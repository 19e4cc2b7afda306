//! Tests of the kernel against the reference implementation.

use proptest::prelude::*;

use super::*;
use crate::ops::Device;
use crate::ops::cpu::compare::{Outcome, assert_close, numbers, samples, tensor};

/// Three steps, each with a gradient of its own.
fn run<E: Dtype>(seed: u64, len: usize, steps: &AdamStep) -> Outcome
where
    Cpu: Device<E>,
{
    let mut parameter = tensor::<_, E>((len,), &samples(seed, len));
    let zeros = || Cpu::default().try_numbers(vec![E::default(); len]).unwrap();
    let (mut moments, mut average) = ([zeros(), zeros()], zeros());
    let mut gradients = Gradients::leaky();
    let mut outcome = Vec::new();
    for step in 1..=3 {
        let factors = tensor::<_, E>((len,), &samples(seed + step, len));
        let loss = parameter.leaky_trace().try_mul(factors).unwrap().sum::<(), _>();
        gradients = loss.backward();
        let mut sums = Default::default();
        Cpu::try_measure(&parameter, &mut gradients, &mut sums).unwrap();
        outcome.push(AdamKernel::<E>::try_square_sums(&Cpu::default(), sums).unwrap());
        let step = AdamStep { step, ..*steps };
        let together = &mut Default::default();
        Cpu::try_step(&mut parameter, &mut gradients, &mut moments, &step, together).unwrap();
        let (decay, together) = (0.3, &mut Default::default());
        Cpu::try_average(&parameter, &mut average, decay, together).unwrap();
        outcome.push(numbers(&parameter));
    }
    outcome.push(numbers(&gradients.get(&parameter)));
    for kept in moments.iter().chain([&average]) {
        let kept = <Cpu as AdamKernel<E>>::to_vec(kept);
        outcome.push(kept.iter().map(|x| x.to_f64().unwrap()).collect());
    }
    outcome
}

const STEP: AdamStep = AdamStep {
    learning_rate: 0.1,
    rate_factor: 0.5,
    betas: [0.9, 0.98],
    epsilon: 1e-8,
    weight_decay: 0.1,
    trust_ratio: false,
    factor: 0.5,
    limit: f64::INFINITY,
    step: 0,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn kernel_matches_reference(
        seed: u32,
        len in prop_oneof![1..100_usize, 70_000..70_100_usize],
        trust_ratio: bool,
        limit in prop_oneof![Just(f64::INFINITY), 0.1..1.0_f64],
    ) {
        let (seed, step) = (u64::from(seed), AdamStep { trust_ratio, limit, ..STEP });
        assert_close(&run::<f32>(seed, len, &step), &run::<f64>(seed, len, &step), 1e-4);
    }
}

#[test]
fn gradients_are_read_and_replaced() {
    fn run<E: Dtype>()
    where
        Cpu: Device<E>,
    {
        let parameter = tensor::<_, E>((1, 3), &[1.0; 3]);
        let mut gradients = Gradients::leaky();
        let numbers: Vec<E> = (1..4).map(|x| E::from_usize(x).unwrap()).collect();
        let mut found = Vec::new();
        Cpu::try_append_gradient(&parameter, &mut gradients, &mut found).unwrap();
        Cpu::try_set_gradient(&parameter, &mut gradients, &numbers).unwrap();
        Cpu::try_append_gradient(&parameter, &mut gradients, &mut found).unwrap();
        assert_eq!(found, [vec![E::default(); 3], numbers.clone()].concat());
        assert!(Cpu::try_set_gradient(&parameter, &mut gradients, &numbers[1..]).is_err());
    }
    run::<f32>();
    run::<f64>();
}

#[test]
fn lengths_that_differ_are_an_error() {
    fn fits<E: Dtype>(len: usize) -> bool
    where
        Cpu: Device<E>,
    {
        let mut parameter = tensor::<_, E>((3,), &[1.0; 3]);
        let zeros = || Cpu::default().try_numbers(vec![E::default(); len]).unwrap();
        let (mut moments, mut average) = ([zeros(), zeros()], zeros());
        let mut gradients = Gradients::leaky();
        let together = &mut Default::default();
        let averages = Cpu::try_average(&parameter, &mut average, 0.5, together).is_ok();
        let step = Cpu::try_step(&mut parameter, &mut gradients, &mut moments, &STEP, together);
        assert_eq!(averages, step.is_ok());
        averages
    }
    assert!(fits::<f32>(3) && fits::<f64>(3));
    assert!(!fits::<f32>(4) && !fits::<f64>(4));
}
