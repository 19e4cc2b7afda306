//! What a declared model is and does, beyond its numbers.

use perceiver::ForwardError;
use perceiver::dfdx::nn::modules::{Module, ModuleMut};
use perceiver::dfdx::optim::{Adam, Optimizer, RMSprop, Sgd, SgdConfig};
use perceiver::prelude::*;

mod labels {
    pub const COUNT: usize = 5;
    pub const FREQUENCIES: [f64; 2] = [8.0, 16.0];
}

perceiver! {
    /// Every key that has a default is left out. Nothing is ever built of this one: it would be large.
    #[derive(Clone)]
    struct Never {
        depth: 1,
        num_freq_bands: 2,
        max_freq: 4.0,
    }
}

perceiver! {
    /// A model with a bit of everything, small enough to train in a test.
    pub(crate) struct Small {
        input_axis: 1,
        input_channels: { 1 + 1 },
        num_freq_bands: 3,
        max_freq: labels::FREQUENCIES[0],
        depth: 2,
        num_latents: 6,
        latent_dim: 12,
        cross_heads: 2,
        latent_heads: 3,
        cross_dim_head: 5,
        latent_dim_head: 4,
        num_classes: labels::COUNT,
        attn_dropout: 0.3,
        ff_dropout: 0.2,
        self_per_cross_attn: 2,
    }
}

type Sequence<const TOKENS: usize> = Tensor<Rank3<4, TOKENS, 2>, f32, Cpu>;

fn small() -> (Cpu, Small) {
    let dev = Cpu::seed_from_u64(7);
    let model = dev.build_module::<Small, f32>();
    (dev, model)
}

mod seed {
    //! The seed's README model, in the bare form.
    use perceiver::prelude::*;

    perceiver! {
        input_channels: 3,
        input_axis: 2,
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
        num_latents: 256,
        latent_dim: 512,
        cross_heads: 1,
        latent_heads: 8,
        cross_dim_head: 64,
        latent_dim_head: 64,
        num_classes: 1000,
        attn_dropout: 0.0,
        ff_dropout: 0.0,
        weight_tie_layers: false,
        fourier_encode_data: true,
        self_per_cross_attn: 1
    }

    perceiver! {
        struct Deeper {
            num_freq_bands: 6, max_freq: 10, depth: 6, num_latents: 256, self_per_cross_attn: 2,
        }
    }

    perceiver! {
        struct Tied {
            num_freq_bands: 6, max_freq: 10., depth: 6, num_latents: 256, self_per_cross_attn: 2,
            weight_tie_layers: true,
        }
    }

    #[test]
    fn has_the_references_parameters() {
        assert_eq!(Perceiver::PARAMETERS, 45_187_140);
        assert_eq!(Deeper::PARAMETERS, 70_395_972);
        assert_eq!(Tied::PARAMETERS, 23_895_388);
    }
}

#[test]
fn every_key_is_a_constant_with_the_references_default() {
    assert_eq!(Never::DEPTH, 1);
    assert_eq!(Never::NUM_FREQ_BANDS, 2);
    assert_eq!(Never::MAX_FREQ, 4.0);
    assert_eq!(Never::INPUT_CHANNELS, 3);
    assert_eq!(Never::INPUT_AXIS, 2);
    assert_eq!(Never::INPUT_SHAPE, None);
    assert_eq!(Never::NUM_LATENTS, 512);
    assert_eq!(Never::LATENT_DIM, 512);
    assert_eq!(Never::CROSS_HEADS, 1);
    assert_eq!(Never::LATENT_HEADS, 8);
    assert_eq!(Never::CROSS_DIM_HEAD, 64);
    assert_eq!(Never::LATENT_DIM_HEAD, 64);
    assert_eq!(Never::NUM_CLASSES, 1000);
    assert_eq!(Never::ATTN_DROPOUT, 0.0);
    assert_eq!(Never::FF_DROPOUT, 0.0);
    assert_eq!(Never::FREQ_BASE, None);
    const { assert!(!Never::WEIGHT_TIE_LAYERS) };
    const { assert!(Never::FOURIER_ENCODE_DATA) };
    assert_eq!(Never::SELF_PER_CROSS_ATTN, 1);
    const { assert!(Never::FINAL_CLASSIFIER_HEAD) };
    const { assert!(!Never::INVERTED_CROSS_ATTN) };
    assert_eq!(Never::INPUT_DIM, 3 + 2 * (2 * 2 + 1));

    assert_eq!(Small::INPUT_CHANNELS, 2);
    assert_eq!(Small::MAX_FREQ, 8.0);
    assert_eq!(Small::NUM_CLASSES, 5);
}

/// What the constants of a model say of its heads, and which layers there are.
#[test]
fn widths_and_layers_are_as_declared() {
    perceiver! {
        struct Wide {
            family: Transformers, input: Tokens(6), num_latents: 4, latent_dim: 12, cross_heads: 2, latent_heads: 3,
            qk_channels: 6, v_channels: 12, depth: 3, self_per_cross_attn: 1, output: Latents,
        }

        struct Resampler {
            input: Tokens(6), num_latents: 4, latent_dim: 8, cross_dim_head: 4, depth: 3, self_per_cross_attn: 0,
            feed_forward: Gelu { mult: 2, bias: false }, attn_bias: false, share: All, cross_attends: 2,
            output: Latents,
        }
    }
    let dev = Cpu::default();
    let (wide, resampler) = (dev.build_module::<Wide, f32>(), dev.build_module::<Resampler, f32>());
    assert_eq!((Wide::CROSS_DIM_HEAD, Wide::LATENT_DIM_HEAD, Wide::CROSS_ATTENDS), (3, 2, 1));
    assert_eq!(wide.num_trainable_params(), Wide::PARAMETERS);
    let layers = wide.layers.view();
    assert_eq!((layers.len(), layers[0].latent.len()), (1, 1));
    assert_eq!(layers[0].cross.as_ref().unwrap().attention.to_kv.weight.as_vec().len(), 18 * 6);

    assert_eq!(resampler.num_trainable_params(), Resampler::PARAMETERS);
    let layers = resampler.layers.view();
    let cross = layers[0].cross.as_ref().unwrap();
    let feed_forward = cross.feed_forward.as_ref().unwrap();
    assert!(layers.len() == 1 && layers[0].latent.is_empty());
    assert!(cross.attention.to_out.bias.is_none() && feed_forward.expand.bias.is_none());
    assert_eq!(feed_forward.expand.weight.as_vec().len(), 16 * 8);
    let tokens: Tensor<Rank3<2, 5, 6>, f32, _> = dev.sample_normal();
    assert_eq!(resampler.forward(tokens).as_vec().len(), 2 * 4 * 8);
}

#[test]
fn parameters_are_what_dfdx_counts() {
    assert_eq!(small().1.num_trainable_params(), Small::PARAMETERS);
}

#[test]
fn forward_is_deterministic_and_forward_mut_drops_only_while_training() {
    let (dev, mut model) = small();
    let x: Sequence<9> = dev.sample_normal();
    let plain = model.forward(x.clone()).array();
    assert_eq!(model.forward(x.clone()).array(), plain);
    assert_eq!(model.forward(x.leaky_trace()).array(), plain);
    assert_eq!(model.forward_mut(x.clone()).array(), plain);
    let first = model.forward_mut(x.leaky_trace()).array();
    let second = model.forward_mut(x.leaky_trace()).array();
    assert_ne!(first, plain);
    assert_ne!(first, second);
}

/// Each kind of dropout acts by itself.
#[test]
fn each_dropout_acts() {
    perceiver! {
        struct Attention {
            input_axis: 1, input_channels: 2, num_freq_bands: 2, max_freq: 4, depth: 1, num_latents: 3,
            latent_dim: 4, attn_dropout: 0.5,
        }
    }
    perceiver! {
        struct FeedForward {
            input_axis: 1, input_channels: 2, num_freq_bands: 2, max_freq: 4, depth: 1, num_latents: 3,
            latent_dim: 4, ff_dropout: 0.5,
        }
    }
    let dev = Cpu::default();
    let x: Sequence<9> = dev.sample_normal();
    let mut attention = dev.build_module::<Attention, f32>();
    let plain = attention.forward(x.clone()).as_vec();
    assert_ne!(attention.forward_mut(x.leaky_trace()).as_vec(), plain);
    let mut feed_forward = dev.build_module::<FeedForward, f32>();
    let plain = feed_forward.forward(x.clone()).as_vec();
    assert_ne!(feed_forward.forward_mut(x.leaky_trace()).as_vec(), plain);
}

#[test]
fn every_parameter_learns_with_every_optimizer() {
    fn learns(mut optimizer: impl Optimizer<Small, Cpu, f32>, mut model: Small, dev: &Cpu) {
        let x: Sequence<7> = dev.sample_normal();
        let target = dev.tensor([[0.0, 1.0, 0.0, 0.0, 0.0]; 4]);
        let loss = |model: &Small| {
            let logits = model.forward(x.clone());
            cross_entropy_with_logits_loss(logits, target.clone()).array()
        };
        let before = loss(&model);
        // Without gradients allocated beforehand, this is an error if a parameter gets none.
        let leaky = model.forward(x.leaky_trace()).square().mean::<Rank0, _>().backward();
        Sgd::new(&model, Default::default()).update(&mut model.clone(), &leaky).unwrap();
        let mut grads = model.alloc_grads();
        for _ in 0..20 {
            let logits = model.forward_mut(x.trace(grads));
            grads = cross_entropy_with_logits_loss(logits, target.clone()).backward();
            optimizer.update(&mut model, &grads).unwrap();
            model.zero_grads(&mut grads);
        }
        let after = loss(&model);
        assert!(after < before, "{after} is not below {before}");
    }
    let (dev, model) = small();
    learns(Sgd::new(&model, Default::default()), model.clone(), &dev);
    learns(Adam::new(&model, Default::default()), model.clone(), &dev);
    learns(RMSprop::new(&model, Default::default()), model.clone(), &dev);
}

#[test]
fn ema_reset_and_conversions() {
    let (dev, model) = small();
    let x: Sequence<5> = dev.sample_normal();
    let mut average = dev.build_module::<Small, f32>();
    let other = average.latents.clone();
    average.ema(&model, 0.25);
    let expected = other * 0.25 + model.latents.clone() * 0.75;
    for (found, expected) in average.latents.as_vec().iter().zip(expected.as_vec()) {
        assert!((found - expected).abs() < 1e-6);
    }

    let wide: Small<f64, Cpu> = model.to_dtype::<f64>();
    let logits = wide.forward(x.clone().to_dtype::<f64>()).as_vec();
    for (a, b) in model.forward(x.clone()).as_vec().iter().zip(logits) {
        assert!((f64::from(*a) - b).abs() < 1e-4);
    }

    let moved = model.to_device(&Cpu::default());
    assert_eq!(moved.forward(x.clone()).array(), model.forward(x.clone()).array());

    let mut reset = model.clone();
    reset.reset_params();
    assert_ne!(reset.latents.array(), model.latents.array());
    assert_eq!(reset.output.view().norm.bias.as_vec(), [0.0; 12]);
}

#[test]
fn a_prepared_model_gives_the_same_and_can_still_change() {
    let folder = tempfile::tempdir().unwrap();
    let (dev, mut model) = small();
    let x: Sequence<5> = dev.sample_normal();
    let expected = model.forward(x.clone()).array();
    let file = folder.path().join("model.safetensors");
    model.save_checkpoint(&file).unwrap();
    let mut untouched = model.clone();

    model.prepare_for_inference();
    assert_eq!(model.forward(x.clone()).array(), expected);
    assert_eq!(model.embed(x.clone()).array(), untouched.embed(x.clone()).array());
    assert_eq!(model.clone().forward(x.clone()).array(), expected);

    let saved = folder.path().join("prepared.safetensors");
    model.save_checkpoint(&saved).unwrap();
    assert_eq!(std::fs::read(saved).unwrap(), std::fs::read(&file).unwrap());
    assert_eq!(model.to_dtype::<f64>().num_trainable_params(), Small::<f32, Cpu>::PARAMETERS);

    // A training step changes both in the same way.
    model.prepare_for_inference();
    let config = SgdConfig::default();
    for model in [&mut model, &mut untouched] {
        let mut sgd = Sgd::new(model, config);
        let logits = model.forward(x.clone().traced(model.alloc_grads()));
        sgd.update(model, &logits.square().mean().backward()).unwrap();
    }
    let trained = untouched.forward(x.clone()).array();
    assert_ne!(trained, expected);
    assert_eq!(model.forward(x.clone()).array(), trained);
    model.prepare_for_inference();
    assert_eq!(model.forward(x.clone()).array(), trained);

    model.load_checkpoint(&file).unwrap();
    assert_eq!(model.forward(x).array(), expected);
}

#[test]
fn saves_and_loads_as_any_dfdx_module() {
    let folder = tempfile::tempdir().unwrap();
    let (dev, model) = small();
    let x: Sequence<5> = dev.sample_normal();
    let expected = model.forward(x.clone()).array();

    let npz = folder.path().join("model.npz");
    model.save(&npz).unwrap();
    let mut loaded = dev.build_module::<Small, f32>();
    assert_ne!(loaded.forward(x.clone()).array(), expected);
    loaded.load(&npz).unwrap();
    assert_eq!(loaded.forward(x.clone()).array(), expected);

    let file = folder.path().join("model.safetensors");
    model.save_safetensors(&file).unwrap();
    let mut loaded = dev.build_module::<Small, f32>();
    loaded.load_safetensors(&file).unwrap();
    assert_eq!(loaded.forward(x.clone()).array(), expected);
    // dfdx's own file has the reference's names, as long as no layers are tied.
    let mut loaded = dev.build_module::<Small, f32>();
    loaded.load_checkpoint(&file).unwrap();
    assert_eq!(loaded.forward(x).array(), expected);
}

#[test]
fn a_masked_position_has_no_influence() {
    let (dev, model) = small();
    let x: Sequence<3> = dev.sample_normal();
    let mask = dev.tensor([[true, false, true]; 4]);
    let expected = model.forward((x.clone(), mask.clone())).array();
    assert_ne!(model.forward(x.clone()).array(), expected);

    let mut changed = x.as_vec();
    for row in changed.chunks_mut(6) {
        row[2..4].fill(100.0);
    }
    let changed: Sequence<3> = dev.tensor_from_vec(changed, Default::default());
    assert_eq!(model.forward((changed, mask)).array(), expected);

    let all: Tensor<Rank2<4, 3>, bool, _> = dev.tensor([[true; 3]; 4]);
    assert_eq!(model.forward((x.clone(), all)).array(), model.forward(x.clone()).array());
    let none = dev.tensor([[false; 3]; 4]);
    let logits = model.forward((x, none)).as_vec();
    assert!(logits.iter().all(|logit| logit.is_finite()));
}

#[test]
fn a_mask_of_another_size_is_an_error_that_says_so() {
    let (dev, model) = small();
    let x: Tensor<(usize, usize, Const<2>), f32, _> = dev.zeros_like(&(4, 3, Const));
    let mask = dev.tensor_from_vec(vec![true; 8], (4, 2));
    let error = model.try_forward((x.clone(), mask.clone())).err().unwrap();
    assert!(matches!(error, ForwardError::MaskShape { .. }));
    assert_eq!(
        error.to_string(),
        "the mask has shape [4, 2], but the input has shape [4, 3] without its channels: the mask must have one \
         `bool` for each position of the input"
    );
    // As a dfdx module it has to give the device's error.
    assert!(Module::try_forward(&model, (x, mask)).is_err());
}

#[test]
fn batch_and_axes_are_of_any_size_and_kind() {
    let (dev, model) = small();
    let one: Tensor<Rank3<1, 1, 2>, f32, _> = dev.sample_normal();
    let _: Tensor<Rank2<1, 5>, f32, _> = model.forward(one);
    let x: Tensor<(usize, Const<40>, Const<2>), f32, _> =
        dev.sample_normal_like(&(3, Const, Const));
    let logits: Tensor<(usize, Const<5>), f32, _> = model.forward(x.clone());
    assert_eq!(*logits.shape(), (3, Const));
    // An item of a batch gives what it gives alone.
    let item: Tensor<Rank3<1, 40, 2>, f32, _> =
        dev.tensor_from_vec(x.as_vec()[80..160].to_vec(), Default::default());
    for (a, b) in model.forward(item).as_vec().iter().zip(&logits.as_vec()[5..10]) {
        assert!((a - b).abs() < 1e-5);
    }
}

#[test]
fn an_empty_input_is_an_error() {
    let (dev, model) = small();
    for shape in [(0, 4, Const), (2, 0, Const)] {
        let empty: Tensor<(usize, usize, Const<2>), f32, _> = dev.zeros_like(&shape);
        let error = model.try_forward(empty).err().unwrap();
        assert!(matches!(error, ForwardError::Empty { .. }), "{error}");
    }
}

#[test]
fn is_a_module_among_dfdx_modules() {
    let dev = Cpu::default();
    type Stacked = (Small, ReLU, Linear<5, 3>);
    let mut stacked = dev.build_module::<Stacked, f32>();
    let x: Sequence<6> = dev.sample_normal();
    let y: Tensor<Rank2<4, 3>, f32, _> = stacked.forward(x.clone());
    let _ = stacked.forward_mut(x.leaky_trace());
    assert!(y.as_vec().iter().all(|y| y.is_finite()));
}

perceiver! {
    struct Headless {
        input_shape: [4, 6, 1],
        num_freq_bands: 2,
        max_freq: 6,
        depth: 3,
        num_latents: 5,
        latent_dim: 8,
        latent_heads: 2,
        latent_dim_head: 4,
        cross_dim_head: 8,
        weight_tie_layers: true,
        final_classifier_head: false,
        freq_base: (2),
    }
}

#[test]
fn without_a_head_forward_gives_the_latents() {
    let dev = Cpu::default();
    let model = dev.build_module::<Headless, f64>();
    let x: Tensor<Rank4<2, 4, 6, 1>, f64, _> = dev.sample_normal();
    let latents: Tensor<Rank3<2, 5, 8>, f64, _> = model.forward(x.clone());
    assert_eq!(latents.array(), model.embed(x).array());
    assert_eq!(model.num_trainable_params(), Headless::PARAMETERS);
    assert_eq!(Headless::INPUT_SHAPE, Some([4, 6, 1]));
    assert_eq!(Headless::INPUT_AXIS, 2);
    assert_eq!(Headless::INPUT_CHANNELS, 1);
    assert_eq!(Headless::FREQ_BASE, Some(2.0));
}

#[test]
fn the_summary_has_every_parameter() {
    let (_, model) = small();
    let summary = model.summary();
    assert_eq!(summary.parameters(), Small::PARAMETERS);
    let text = summary.to_string();
    assert!(text.contains("layers.0-1.self_attns.1.0"), "{text}");
    assert!(text.contains("to_kv [20, 9]"), "{text}");
}

#[test]
fn a_summary_with_a_cost_shows_it() {
    let (_, model) = small();
    assert!(!model.summary().to_string().contains("FLOPs"));
    let cost = Small::cost(2, [4]);
    let text = model.summary().with_cost(cost).to_string();
    let last = |line: &str| line.split_whitespace().last().map(String::from);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(last(lines[0]).as_deref(), Some("FLOPs"), "{text}");
    // All lines of the table end in one column.
    let [table @ .., _] = &lines[..] else { panic!("{text}") };
    let width = table[0].chars().count();
    assert!(table.iter().all(|line| line.chars().count() == width), "{text}");
    assert!(lines[lines.len() - 1].starts_with("memory of a forward pass: "), "{text}");
    assert_eq!(cost.flops(), Small::flops(2, [4]));
}

#[test]
fn a_model_of_a_fixed_shape_shows_its_cost_by_itself() {
    let model = Cpu::default().build_module::<Headless, f32>();
    let summary = model.summary();
    assert_eq!(summary.cost.map(|cost| cost.flops()), Some(Headless::FLOPS));
    assert_eq!(Headless::flops(3), 3 * Headless::FLOPS);
    assert!(Headless::forward_memory(3) > Headless::forward_memory(1));
}

#[test]
fn the_summary_separates_thousands() {
    perceiver! {
        struct Million {
            input_axis: 1, input_channels: 2, num_freq_bands: 2, max_freq: 4, depth: 1,
            num_latents: 62_500, latent_dim: 16, latent_heads: 2, latent_dim_head: 4,
            cross_dim_head: 4, num_classes: 5,
        }
    }
    let text = Cpu::default().build_module::<Million, f32>().summary().to_string();
    let parameters = |part: &str| {
        let line = text.lines().find(|line| line.starts_with(part));
        line.and_then(|line| line.split_whitespace().last())
    };
    assert_eq!(parameters("latents"), Some("1,000,000"), "{text}");
    assert_eq!(parameters("to_logits"), Some("117"), "{text}");
    assert_eq!(parameters("Million"), Some("1,007,419"), "{text}");
}

/// Code over any device and data type can call a declared model, by its own methods and as a module.
fn _generic<E: Dtype, D: Device<E>>(model: &mut Small<E, D>, x: Tensor<Rank3<1, 2, 2>, E, D>) {
    let _: Tensor<Rank2<1, 5>, E, D> = model.forward(x.clone());
    let _: Result<Tensor<Rank2<1, 5>, E, D>, D::Err> = Module::try_forward(model, x.clone());
    let _: Tensor<Rank2<1, 5>, E, D> = ModuleMut::forward_mut(model, x);
}

/// A literal in parentheses is a literal.
mod parentheses {
    use perceiver::prelude::*;

    perceiver! {
        struct Model {
            depth: (1),
            input_axis: (1),
            input_channels: (2),
            fourier_encode_data: (false),
            final_classifier_head: (false),
            num_latents: (3),
            latent_dim: (4),
            attn_dropout: ((0.5)),
        }
    }

    #[test]
    fn change_nothing() {
        let dev = Cpu::default();
        let model = dev.build_module::<Model, f32>();
        let x: Tensor<Rank3<1, 5, 2>, f32, _> = dev.sample_normal();
        let _: Tensor<Rank3<1, 3, 4>, f32, _> = model.forward(x);
        assert_eq!(Model::INPUT_DIM, 2);
    }
}

/// A module of one's own, with a declared model in it.
struct Doubled(Small);

impl Module<Tensor<Rank3<2, 4, 2>, f32, Cpu>> for Doubled {
    type Output = Tensor<Rank2<2, 5>, f32, Cpu>;
    type Error = perceiver::dfdx::tensor::CpuError;

    fn try_forward(
        &self,
        input: Tensor<Rank3<2, 4, 2>, f32, Cpu>,
    ) -> Result<Self::Output, Self::Error> {
        self.0.try_forward(input)?.try_mul(2.0)
    }
}

#[test]
fn a_module_of_ones_own_passes_errors_on() {
    let dev = Cpu::seed_from_u64(0);
    let model = Doubled(dev.build_module::<Small, f32>());
    let input: Tensor<Rank3<2, 4, 2>, f32, _> = dev.sample_normal();
    let logits = model.0.forward(input.clone());
    assert_eq!(model.forward(input).array(), (logits * 2.0).array());
}

#[test]
#[should_panic(
    expected = "the input is empty: its batch and axes are [0, 3], and each must be at least 1"
)]
fn the_error_is_said_where_the_input_is_generic() {
    fn run<I, M: Module<I>>(model: &M, input: I) -> M::Output {
        model.forward(input)
    }
    let dev = Cpu::default();
    let empty: Tensor<(usize, Const<3>, Const<2>), f32, _> = dev.zeros_like(&(0, Const, Const));
    run(&dev.build_module::<Small, f32>(), empty);
}
