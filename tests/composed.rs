//! Models of one's own that a declared model is a part of, and layers in tuples.

use perceiver::checkpoint::{CheckpointError, load_module, save_module};
use perceiver::dfdx::nn::builders;
use perceiver::dfdx::nn::modules::{Linear, ReLU};
use perceiver::dfdx::nn::tensor_collection::{ModuleVisitor, TensorCollection};
use perceiver::dfdx::optim::{Adam, AdamConfig, Optimizer};
use perceiver::nn::{Attention, FeedForward};
use perceiver::prelude::*;

perceiver! {
    struct Encoder {
        input: Tokens(4),
        depth: 1,
        num_latents: 3,
        latent_dim: 8,
        cross_dim_head: 4,
        latent_heads: 2,
        latent_dim_head: 4,
        attn_dropout: 0.5,
        output: Latents,
    }
}

/// A declared model, and a layer of dfdx after it.
#[derive(Clone, Debug)]
struct Regressor<E: Dtype, D: Storage<E>> {
    encoder: Encoder<E, D>,
    head: Linear<8, 1, E, D>,
}

impl<D: Device<f32>> TensorCollection<f32, D> for Regressor<f32, D> {
    // dfdx's own `Device`: a module is one on all of dfdx's devices.
    type To<E2: Dtype, D2: TensorDevice<E2>> = Regressor<E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, f32, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("encoder", |model| &model.encoder, |model| &mut model.encoder),
                Self::module("head", |model| &model.head, |model| &mut model.head),
            ),
            |(encoder, head)| Regressor { encoder, head },
        )
    }
}

impl<D: Device<f32>> BuildOnDevice<D, f32> for Regressor<f32, Cpu> {
    type Built = Regressor<f32, D>;
}

/// `(batch, tokens, 4)` to one number for each item.
impl<B: Dim, S: Dim, D: Device<f32>, T: Tape<f32, D> + Merge<NoneTape>>
    Module<Tensor<(B, S, Const<4>), f32, D, T>> for Regressor<f32, D>
{
    type Output = Tensor<(B, Const<1>), f32, D, T>;
    type Error = D::Err;

    fn try_forward(
        &self,
        tokens: Tensor<(B, S, Const<4>), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        let latents = self.encoder.try_forward(tokens)?;
        let mean = latents.try_mean::<(B, Const<8>), Axis<1>>()?;
        self.head.try_forward(mean)
    }
}

impl<B: Dim, S: Dim, D: Device<f32>, T: Tape<f32, D> + Merge<NoneTape>>
    ModuleMut<Tensor<(B, S, Const<4>), f32, D, T>> for Regressor<f32, D>
{
    type Output = Tensor<(B, Const<1>), f32, D, T>;
    type Error = D::Err;

    fn try_forward_mut(
        &mut self,
        tokens: Tensor<(B, S, Const<4>), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        let latents = self.encoder.try_forward_mut(tokens)?;
        let mean = latents.try_mean::<(B, Const<8>), Axis<1>>()?;
        self.head.try_forward_mut(mean)
    }
}

#[test]
fn a_model_of_ones_own_trains_and_drops() {
    let dev = Cpu::seed_from_u64(0);
    let mut model = dev.build_module::<Regressor<f32, Cpu>, f32>();
    assert_eq!(model.num_trainable_params(), Encoder::PARAMETERS + 9);
    let tokens: Tensor<Rank3<5, 6, 4>, f32, _> = dev.sample_normal();
    let before = model.forward(tokens.clone());
    assert_eq!(before.array(), model.forward(tokens.clone()).array());

    let mut grads = model.alloc_grads();
    let dropped = model.forward_mut(tokens.clone().traced(grads));
    assert_ne!(before.array(), dropped.array());
    grads = dropped.square().mean().backward();
    let mut adam = Adam::new(&model, AdamConfig::default());
    adam.update(&mut model, &grads).unwrap();
    assert_ne!(before.array(), model.forward(tokens).array());
}

#[test]
fn an_input_that_does_not_fit_is_an_error_of_the_device() {
    let dev = Cpu::default();
    let model = dev.build_module::<Regressor<f32, Cpu>, f32>();
    let nothing: Tensor<(usize, usize, Const<4>), f32, _> = dev.zeros_like(&(0, 6, Const));
    assert!(model.try_forward(nothing).is_err());
}

#[test]
fn declared_models_and_layers_are_parts_of_tuples() {
    let dev = Cpu::seed_from_u64(0);
    let tokens: Tensor<Rank3<2, 6, 4>, f32, _> = dev.sample_normal();
    let model = dev.build_module::<(Encoder, (FeedForward<8>, ReLU)), f32>();
    let y: Tensor<(Const<2>, Const<3>, Const<8>), f32, _> = model.forward(tokens);
    assert!(y.as_vec().iter().all(|y| *y >= 0.0));

    let layers = dev.build_module::<(FeedForward<8>, FeedForward<8>), f32>();
    let x: Tensor<Rank3<2, 6, 8>, f32, _> = dev.sample_normal();
    assert_eq!(layers.forward(x.clone()).array(), layers.1.forward(layers.0.forward(x)).array());
    let attention = dev.build_module::<Attention<8, 4, 2, 4>, f32>();
    let latents: Tensor<Rank3<2, 3, 8>, f32, _> = dev.sample_normal();
    let tokens: Tensor<Rank3<2, 6, 4>, f32, _> = dev.sample_normal();
    assert_eq!(attention.forward((latents, tokens)).as_vec().len(), 48);
}

#[test]
fn a_model_of_ones_own_is_saved_and_loaded_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("regressor.safetensors");
    let dev = Cpu::seed_from_u64(1);
    let model = dev.build_module::<Regressor<f32, Cpu>, f32>();
    save_module(&path, &model).unwrap();
    let mut again = dev.build_module::<Regressor<f32, Cpu>, f32>();
    assert_ne!(again.encoder.latents.array(), model.encoder.latents.array());
    load_module(&path, &mut again).unwrap();
    assert_eq!(again.encoder.latents.array(), model.encoder.latents.array());
    assert_eq!(again.head.weight.array(), model.head.weight.array());
    // The file is one of dfdx's, too.
    again.load_safetensors(&path).unwrap();

    let mut other = dev.build_module::<(Encoder, builders::Linear<8, 1>), f32>();
    let before = other.1.weight.array();
    let CheckpointError::Mismatch { problems, .. } = load_module(&path, &mut other).unwrap_err()
    else {
        panic!("another error");
    };
    for problem in [
        "`0.latents` is missing: expected F32 [3, 8]",
        "`head.weight` is not in the model, but the file has it as F32 [1, 8]",
    ] {
        assert!(
            problems.iter().any(|found| found.to_string() == problem),
            "{problem}: {problems:?}"
        );
    }
    assert_eq!(other.1.weight.array(), before);
}
