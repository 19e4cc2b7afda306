//! Models among dfdx's modules, and in modules of one's own.

use perceiver::dfdx::nn::modules::{Module, ModuleMut};
use perceiver::prelude::*;

use crate::{Sequence, Small, small};

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
fn is_a_module_among_dfdx_modules() {
    let dev = Cpu::default();
    type Stacked = (Small, ReLU, Linear<5, 3>);
    let mut stacked = dev.build_module::<Stacked, f32>();
    let x: Sequence<6> = dev.sample_normal();
    let y: Tensor<Rank2<4, 3>, f32, _> = stacked.forward(x.clone());
    let _ = stacked.forward_mut(x.leaky_trace());
    assert!(y.as_vec().iter().all(|y| y.is_finite()));
}

/// Code over any device and data type can call a declared model, by its own methods and as a module.
fn _generic<E: Dtype, D: Device<E>>(model: &mut Small<E, D>, x: Tensor<Rank3<1, 2, 2>, E, D>) {
    let _: Tensor<Rank2<1, 5>, E, D> = model.forward(x.clone());
    let _: Result<Tensor<Rank2<1, 5>, E, D>, D::Err> = Module::try_forward(model, x.clone());
    let _: Tensor<Rank2<1, 5>, E, D> = ModuleMut::forward_mut(model, x);
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
