//! Training: the numbers of PyTorch, and steps and loads that change all or nothing.

use std::fs;

use perceiver::checkpoint::{CheckpointError, Problem};
use perceiver::dfdx::nn::builders::Linear;
use perceiver::dfdx::nn::modules;
use perceiver::dfdx::optim::Optimizer;
use perceiver::prelude::*;
use perceiver::train::{
    AdamW, AdamWConfig, CrossEntropy, LossError, StepError, TrainError, Trainer, accuracy,
    cross_entropy, load_training, save_training,
};

type Pair = modules::Linear<2, 2, f32, Cpu>;

fn pair() -> Pair {
    let dev = Cpu::default();
    let mut pair = dev.build_module::<Linear<2, 2>, f32>();
    pair.weight = dev.tensor([[-0.5, -0.25], [0.1, 0.6]]);
    pair.bias = dev.tensor([1.0, -2.0]);
    pair
}

/// The gradients of `Σ (i · weight)³ + Σ (bias · Σ weight)²`.
fn gradients(pair: &Pair, i: usize) -> Gradients<f32, Cpu> {
    let weight = pair.weight.clone();
    let cubes = (weight.leaky_trace() * i as f32).powi(3).sum::<(), _>();
    let sum: Tensor<Rank0, _, _, _> = weight.leaky_trace().sum();
    let squares = (sum.broadcast::<Rank1<2>, _>() * pair.bias.clone()).square().sum::<(), _>();
    (cubes + squares).backward()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (x, y) in found.iter().zip(expected) {
        assert!((x - y).abs() <= tolerance, "{found:?} is not {expected:?}");
    }
}

const CONFIG: AdamWConfig = AdamWConfig {
    learning_rate: 0.1,
    betas: [0.9, 0.98],
    epsilon: 1e-8,
    weight_decay: 0.1,
    decay_vectors: false,
    max_norm: None,
    max_value: None,
    trust_ratio: false,
};

/// Three steps of `torch.optim.AdamW`, the bias without weight decay; then with `clip_grad_norm_` to 1.
#[test]
fn steps_are_those_of_pytorch() {
    let plain =
        [-0.733_454_5, -0.027_273_752, 0.124_755_35, 0.320_987_7, 0.726_958_6, -1.727_526_8];
    let clipped =
        [-0.766_418_34, -0.027_224_973, 0.282_138_47, 0.290_469_2, 0.761_940_36, -1.760_669_6];
    for (max_norm, expected) in [(None, plain), (Some(1.0), clipped)] {
        for as_dfdx in [false, true] {
            let mut pair = pair();
            let config = AdamWConfig { max_norm, ..CONFIG };
            let mut optimizer = AdamW::new(&pair, config).unwrap();
            for i in 1..=3 {
                let gradients = gradients(&pair, i);
                if as_dfdx {
                    optimizer.update(&mut pair, &gradients).unwrap();
                } else {
                    let gradients = optimizer.step(&mut pair, gradients).unwrap();
                    assert_eq!(gradients.get(&pair.weight).as_vec(), [0.0; 4]);
                }
            }
            assert_eq!(optimizer.steps(), 3);
            let found = [pair.weight.as_vec(), pair.bias.as_vec()].concat();
            assert_close(&found, &expected, 2e-5);
        }
    }
}

#[test]
fn gradients_are_limited_and_measured() {
    let step = |config| {
        let mut pair = pair();
        let mut optimizer = AdamW::new(&pair, config).unwrap();
        let gradients = gradients(&pair, 30);
        let norm = [gradients.get(&pair.weight).as_vec(), gradients.get(&pair.bias).as_vec()];
        let norm = norm.concat().iter().map(|x| x * x).sum::<f32>().sqrt();
        optimizer.step(&mut pair, gradients).unwrap();
        assert!((optimizer.gradient_norm() as f32 - norm).abs() < 1e-3 * norm);
        pair.weight.as_vec()
    };
    // The first step does not depend on the size of the gradients, but for `epsilon`.
    let config = AdamWConfig { epsilon: 1.0, weight_decay: 0.0, ..CONFIG };
    let limited = step(AdamWConfig { max_value: Some(0.5), ..config });
    let change = 0.1 * 0.5 / 1.5;
    assert_close(&limited, &[-0.5 - change, -0.25 - change, 0.1 - change, 0.6 - change], 1e-6);
    assert_ne!(step(config), limited);
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    let mut pair = pair();
    let before = (pair.weight.as_vec(), pair.bias.as_vec());
    let mut optimizer = AdamW::new(&pair, CONFIG).unwrap();
    let zero = Cpu::default().zeros_like(&pair.bias);
    let loss = (pair.bias.leaky_trace() / zero).sum::<(), _>();
    let error = optimizer.step(&mut pair, loss.backward()).unwrap_err();
    assert!(matches!(error, StepError::NotFinite { step: 1, .. }));
    assert!(error.to_string().starts_with("the gradient of `bias` is not finite in step 1: "));
    assert_eq!((pair.weight.as_vec(), pair.bias.as_vec()), before);
    assert_eq!(optimizer.steps(), 0);
}

#[test]
fn gradients_of_another_model_are_an_error() {
    let (mut pair, other) = (pair(), pair());
    let mut trainer = Trainer::new(AdamW::new(&pair, CONFIG).unwrap(), 0.1);
    let before = pair.weight.as_vec();
    let mut epoch = |pair: &mut Pair, of_other: bool| {
        trainer.train_epoch(pair, [()], |pair, (), gradients| {
            let weight = if of_other { &other.weight } else { &pair.weight };
            Ok(weight.clone().traced(gradients).exp().sum::<(), _>())
        })
    };
    let error = epoch(&mut pair, true).unwrap_err();
    assert!(matches!(error, TrainError::NoGradients), "{error}");
    assert_eq!(pair.weight.as_vec(), before);
    // Later, they may all be 0.
    epoch(&mut pair, false).unwrap();
    epoch(&mut pair, true).unwrap();
}

#[test]
fn what_would_train_wrongly_is_an_error() {
    let mut pair = pair();
    let optimizer = AdamW::new(&pair, CONFIG).unwrap();
    assert_eq!(optimizer.names().collect::<Vec<_>>(), ["weight", "bias"]);
    let step = |optimizer: AdamW<f32, Cpu>, pair: &mut Pair| {
        let gradients = gradients(pair, 1);
        optimizer.clone().step(pair, gradients).unwrap_err().to_string()
    };
    assert_eq!(
        step(
            optimizer.clone().with_factors(|name| f64::from(u8::from(name == "to_logits"))),
            &mut pair
        ),
        "`with_factors` gives every parameter the factor 0; their names are such as `bias`"
    );
    assert_eq!(
        step(optimizer.clone().with_ema(f64::NAN), &mut pair),
        "`decay` is NaN: expected a number from 0 to 1, exclusive"
    );

    let mut trainer = Trainer::new(optimizer, 0.1);
    let nan = trainer.train_epoch(&mut pair, [1.0, f32::NAN], |pair, x, gradients| {
        Ok((pair.bias.clone().traced(gradients) * x).exp().sum::<(), _>())
    });
    // `main` and `unwrap` show the message, too.
    let expected = "the loss of step 2 is NaN: is there a number that is not finite in the input, or is the learning rate too high?";
    assert_eq!(format!("{:?}", nan.unwrap_err()), expected);
    let fewer: [f32; 0] = [];
    let fewer = trainer.train_epoch(&mut pair, fewer, |_, _, _| panic!("nothing is computed"));
    assert!(matches!(fewer, Err(TrainError::OtherBatches { epoch: 0, done: 1, found: 0 })));
}

#[test]
fn settings_out_of_range_are_errors() {
    let wrong = [
        (
            AdamWConfig { learning_rate: f64::NAN, ..CONFIG },
            "`learning_rate` is NaN: expected a number of at least 0",
        ),
        (
            AdamWConfig { learning_rate: -1.0, ..CONFIG },
            "`learning_rate` is -1: expected a number of at least 0",
        ),
        (
            AdamWConfig { betas: [1.0, 0.9], ..CONFIG },
            "`betas[0]` is 1: expected a number from 0 to 1, exclusive",
        ),
        (
            AdamWConfig { betas: [0.9, -0.1], ..CONFIG },
            "`betas[1]` is -0.1: expected a number from 0 to 1, exclusive",
        ),
        (
            AdamWConfig { epsilon: f64::INFINITY, ..CONFIG },
            "`epsilon` is inf: expected a number of at least 0",
        ),
        (
            AdamWConfig { weight_decay: -0.1, ..CONFIG },
            "`weight_decay` is -0.1: expected a number of at least 0",
        ),
        (
            AdamWConfig { max_norm: Some(0.0), ..CONFIG },
            "`max_norm` is 0: expected a number above 0",
        ),
        (
            AdamWConfig { max_value: Some(-1.0), ..CONFIG },
            "`max_value` is -1: expected a number above 0",
        ),
    ];
    for (config, expected) in wrong {
        let mut pair = pair();
        let mut optimizer = AdamW::new(&pair, config).unwrap();
        let gradients = gradients(&pair, 1);
        let error = optimizer.step(&mut pair, gradients).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(pair.weight.as_vec(), self::pair().weight.as_vec());
    }
}

#[test]
fn another_model_is_an_error_and_factors_are_by_name() {
    let mut first = pair();
    let mut optimizer = AdamW::new(&first, CONFIG).unwrap();
    let mut other = Cpu::default().build_module::<Linear<3, 2>, f32>();
    let error = optimizer.step(&mut other, Gradients::leaky()).unwrap_err();
    assert!(matches!(error, StepError::OtherModel { expected: 2, found: 2 }));

    let mut optimizer = optimizer.with_factors(|name| f64::from(u8::from(name == "bias")));
    let gradients = gradients(&first, 1);
    optimizer.step(&mut first, gradients).unwrap();
    assert_eq!(first.weight.as_vec(), pair().weight.as_vec());
    assert_ne!(first.bias.as_vec(), pair().bias.as_vec());
}

#[test]
fn weights_decay_and_vectors_when_asked() {
    let decayed = |config| {
        let mut pair = pair();
        let mut optimizer = AdamW::new(&pair, config).unwrap();
        optimizer.step(&mut pair, Gradients::leaky()).unwrap();
        [pair.weight.as_vec(), pair.bias.as_vec()].concat()
    };
    let start = [-0.5, -0.25, 0.1, 0.6, 1.0, -2.0];
    let weights = start.map(|x: f32| 0.99 * x);
    assert_close(&decayed(CONFIG)[..4], &weights[..4], 1e-6);
    assert_close(&decayed(CONFIG)[4..], &start[4..], 0.0);
    assert_close(&decayed(AdamWConfig { decay_vectors: true, ..CONFIG }), &weights, 1e-6);
    // LAMB moves by the norm of the weight: here along the weight itself, by a tenth of it.
    let lamb = AdamWConfig { learning_rate: 0.1, ..AdamWConfig::lamb() };
    assert_close(&decayed(lamb)[..4], &start.map(|x| 0.9 * x)[..4], 1e-6);
}

perceiver! {
    struct Model {
        input_shape: [6, 2], num_freq_bands: 2, max_freq: 4.0, depth: 1, num_latents: 4, latent_dim: 8, latent_heads: 2,
        latent_dim_head: 4, cross_dim_head: 4, num_classes: 3,
    }
}

struct Run {
    model: Model,
    optimizer: AdamW<f32, Cpu>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let model = Cpu::seed_from_u64(seed).build_module::<Model, f32>();
        let config = AdamWConfig { learning_rate: 1e-2, max_norm: Some(0.5), ..CONFIG };
        let optimizer = AdamW::new(&model, config).unwrap();
        Self { model, optimizer }
    }

    /// Trains, each step with data that depend on its number, and returns the losses.
    fn train(&mut self, steps: u64) -> Vec<f32> {
        let mut gradients = self.model.alloc_grads();
        let mut losses = Vec::new();
        for _ in 0..steps {
            let dev = Cpu::seed_from_u64(self.optimizer.steps());
            let x: Tensor<Rank3<5, 6, 2>, f32, _> = dev.sample_normal();
            let targets = dev.tensor([0, 1, 2, 0, 1]);
            let logits = self.model.forward_mut(x.traced(gradients));
            let loss = cross_entropy(logits, &targets).unwrap();
            losses.push(loss.array());
            gradients = self.optimizer.step(&mut self.model, loss.backward()).unwrap();
        }
        losses
    }
}

#[test]
fn an_interrupted_run_has_the_losses_of_one_that_was_not() {
    let path = tempfile::tempdir().unwrap().keep().join("run.training");
    let expected = Run::new(1).train(12);
    assert!(expected[11] < expected[0]);
    let mut run = Run::new(1);
    assert_eq!(run.train(5), expected[..5]);
    save_training(&path, &run.model, &run.optimizer, &("epoch", 3)).unwrap();
    run.train(2);

    let mut again = Run::new(2);
    let state: (String, u8) = load_training(&path, &mut again.model, &mut again.optimizer).unwrap();
    assert_eq!(state, ("epoch".to_string(), 3));
    assert_eq!(again.optimizer.steps(), 5);
    assert_eq!(again.train(7), expected[5..]);
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

/// As PyTorch's `AveragedModel` with `get_ema_multi_avg_fn(0.75)`.
#[test]
fn an_average_follows_the_parameters_and_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.training");
    let with_ema = |seed| {
        let Run { model, optimizer } = Run::new(seed);
        Run { model, optimizer: optimizer.with_ema(0.75) }
    };
    let averaged = |run: &Run| run.optimizer.averaged(&run.model).unwrap().latents.as_vec();

    let mut run = with_ema(1);
    assert_eq!(averaged(&run), run.model.latents.as_vec());
    run.train(1);
    let mut expected = run.model.latents.as_vec();
    assert_eq!(averaged(&run), expected);
    for _ in 0..4 {
        run.train(1);
        for (average, x) in expected.iter_mut().zip(run.model.latents.as_vec()) {
            *average = 0.75 * *average + 0.25 * x;
        }
        assert_close(&averaged(&run), &expected, 1e-6);
    }
    assert_ne!(averaged(&run), run.model.latents.as_vec());
    save_training(&path, &run.model, &run.optimizer, &()).unwrap();

    let mut again = with_ema(2);
    load_training::<_, _, _, ()>(&path, &mut again.model, &mut again.optimizer).unwrap();
    assert_eq!(averaged(&again), averaged(&run));
    assert_eq!(again.train(3), run.train(3));
    assert_eq!(averaged(&again), averaged(&run));

    // Without one, an average that was saved is not lost unnoticed.
    let mut plain = Run::new(3);
    let before = plain.model.latents.as_vec();
    let error = load_training::<_, _, _, ()>(&path, &mut plain.model, &mut plain.optimizer);
    assert!(matches!(error, Err(CheckpointError::Average { .. })));
    assert_eq!(plain.model.latents.as_vec(), before);
    // One that was not saved begins with the next step.
    plain.train(2);
    save_training(&path, &plain.model, &plain.optimizer, &()).unwrap();
    load_training::<_, _, _, ()>(&path, &mut again.model, &mut again.optimizer).unwrap();
    assert_eq!(averaged(&again), again.model.latents.as_vec());
    again.train(1);
    assert_eq!(averaged(&again), again.model.latents.as_vec());

    let other = Cpu::default().build_module::<Linear<3, 2>, f32>();
    let error = run.optimizer.averaged(&other);
    assert!(matches!(error, Err(StepError::OtherModel { found: 2, .. })));
}

#[test]
fn a_file_that_does_not_fit_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.training");
    let mut run = Run::new(1);
    run.train(2);
    save_training(&path, &run.model, &run.optimizer, &7).unwrap();

    let mut other = Run::new(2);
    let logits = |run: &Run| run.model.forward(Cpu::default().ones::<Rank3<1, 6, 2>>()).as_vec();
    let before = logits(&other);
    let error = load_training::<_, _, _, String>(&path, &mut other.model, &mut other.optimizer);
    let message = error.unwrap_err().to_string();
    assert!(message.contains("is not of the type that it is loaded as: invalid type"), "{message}");

    let model = folder.path().join("model.safetensors");
    run.model.save_checkpoint(&model).unwrap();
    let error = load_training::<_, _, _, u8>(&model, &mut other.model, &mut other.optimizer);
    assert!(matches!(error, Err(CheckpointError::NotTraining { .. })));

    let mut small = pair();
    let mut of_small = AdamW::new(&small, CONFIG).unwrap();
    let error = load_training::<_, _, _, u8>(&path, &mut small, &mut of_small).unwrap_err();
    let CheckpointError::Mismatch { problems, .. } = error else { panic!("{error}") };
    let missing = |problem: &&Problem| matches!(problem, Problem::Missing { .. });
    // The weight and the bias, with two moments each.
    assert_eq!(problems.iter().filter(missing).count(), 6);

    let whole = fs::read(&path).unwrap();
    for len in [0, 7, 8, 100, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        load_training::<_, _, _, u8>(&path, &mut other.model, &mut other.optimizer).unwrap_err();
    }
    assert_eq!(logits(&other), before);
    assert_eq!(other.optimizer.steps(), 0);
}

#[test]
fn targets_that_do_not_fit_are_errors() {
    let dev = Cpu::default();
    let logits = || -> Tensor<(usize, usize, Const<5>), f32, _> { dev.zeros_like(&(2, 3, Const)) };
    let loss = |targets: Vec<usize>, shape, loss: CrossEntropy| {
        loss.loss(logits(), &dev.tensor_from_vec(targets, shape)).map(|loss| loss.array())
    };
    let plain = CrossEntropy::default();
    assert!(loss(vec![4; 6], (2, 3), plain).is_ok());
    assert_eq!(
        loss(vec![4; 6], (3, 2), plain).unwrap_err().to_string(),
        "the targets have shape [3, 2], but the logits have [2, 3] without their classes: there must be one target for each row \
         of logits"
    );
    let error = loss(vec![0, 1, 2, 3, 4, 5], (2, 3), plain).unwrap_err();
    assert!(matches!(error, LossError::Target { target: 5, classes: 5 }));
    let ignoring = CrossEntropy { ignore: Some(5), ..plain };
    assert!(loss(vec![0, 1, 2, 3, 4, 5], (2, 3), ignoring).is_ok());
    assert!(matches!(loss(vec![5; 6], (2, 3), ignoring), Err(LossError::NoTargets)));
    let smooth = CrossEntropy { label_smoothing: 1.5, ..plain };
    assert!(matches!(loss(vec![0; 6], (2, 3), smooth), Err(LossError::Smoothing(_))));
    let empty: Tensor<(usize, Const<5>), f32, _> = dev.zeros_like(&(0, Const));
    let none = dev.tensor_from_vec(vec![], (0,));
    assert!(matches!(cross_entropy(empty.clone(), &none), Err(LossError::NoTargets)));
    assert!(matches!(accuracy(&empty, &none), Err(LossError::NoTargets)));
}

#[test]
fn an_epoch_without_batches_is_an_error() {
    let mut model = Cpu::default().build_module::<Model, f32>();
    let mut trainer = Trainer::new(AdamW::new(&model, CONFIG).unwrap(), 1e-2);
    let none = std::iter::empty::<()>();
    let error = trainer.train_epoch(&mut model, none, |_, (), _| unreachable!());
    assert!(matches!(error, Err(TrainError::NoBatches { epoch: 0 })));
    assert_eq!(trainer.epoch(), 0);
}

#[test]
fn gradients_of_several_batches_make_one_step() {
    let losses = |size, accumulated| {
        let dev = Cpu::seed_from_u64(1);
        let mut model = dev.build_module::<Model, f32>();
        let optimizer = AdamW::new(&model, CONFIG).unwrap();
        let mut trainer = Trainer::new(optimizer, 1e-2).with_accumulation(accumulated);
        let rows: Vec<usize> = (0..12).collect();
        let batches = rows.chunks(size);
        let loss = trainer
            .train_epoch(&mut model, batches, |model, rows, gradients| {
                let numbers =
                    rows.iter().flat_map(|i| (0..12).map(move |j| ((i * 5 + j) % 7) as f32));
                let x: Tensor<(usize, Const<6>, Const<2>), f32, _> =
                    dev.tensor_from_vec(numbers.collect(), (rows.len(), Const, Const));
                let targets =
                    dev.tensor_from_vec(rows.iter().map(|i| i % 3).collect(), (rows.len(),));
                Ok(cross_entropy(model.try_forward_mut(x.traced(gradients))?, &targets)?)
            })
            .unwrap();
        let out = model.forward(dev.ones::<Rank3<1, 6, 2>>()).as_vec();
        (loss as f32, out, trainer.optimizer.steps())
    };
    let (loss, out, steps) = losses(4, 3);
    let (expected_loss, expected, _) = losses(12, 1);
    assert_eq!(steps, 1);
    assert!((loss - expected_loss).abs() < 1e-5);
    assert_close(&out, &expected, 1e-3);
}
