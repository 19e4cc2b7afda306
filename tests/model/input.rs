//! Inputs: their masks and sizes.

use perceiver::ForwardError;
use perceiver::dfdx::nn::modules::Module;
use perceiver::prelude::*;

use crate::{Sequence, small};

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
