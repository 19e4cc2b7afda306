//! Inputs that are views: broadcast tensors and permuted ones, whose numbers lie in memory once, or in another order.

use perceiver::prelude::*;

use crate::numbers::{Failures, backward, numbers, samples, tensor};

perceiver! {
    pub struct Image {
        input_channels: 3,
        input_axis: 2,
        num_freq_bands: 3,
        max_freq: 10.0,
        depth: 2,
        num_latents: 8,
        latent_dim: 16,
        latent_heads: 2,
        cross_dim_head: 8,
        latent_dim_head: 8,
        num_classes: 5,
    }
}

const HEIGHT: usize = 6;
const WIDTH: usize = 5;

/// A model with the numbers that `E` has of it.
pub fn model<E: Dtype>() -> Image<E, Cpu>
where
    Cpu: Device<E>,
{
    let dev = Cpu::seed_from_u64(1);
    dev.build_module::<Image, f32>().to_dtype::<E>()
}

/// What a model makes of a view.
pub struct Outcome {
    name: String,
    logits: Vec<f64>,
    /// Of the tensor that it is a view of.
    gradient: Vec<f64>,
}

impl Outcome {
    fn compare(&self, with: &Self, failures: &mut Failures, tolerance: f64) {
        let name = &self.name;
        failures.apart(&format!("{name}: logits"), &self.logits, &with.logits, tolerance);
        failures.apart(&format!("{name}: gradient"), &self.gradient, &with.gradient, tolerance);
    }
}

/// Of each view what a model makes of it, and what it makes of a copy that is no view.
pub type Outcomes = Vec<[Outcome; 2]>;

/// What `model` makes of each kind of view, with two and four items.
pub fn views<E: Dtype, D: Device<E>>(model: &Image<E, D>) -> Outcomes {
    let batches = [2, 4].map(|batch| views_of(model, batch));
    batches.into_iter().flatten().collect()
}

fn views_of<E: Dtype, D: Device<E>>(model: &Image<E, D>, batch: usize) -> Outcomes {
    let dev = model.latents.device();
    let shape = (batch, HEIGHT, WIDTH, Const::<3>);
    let mut outcomes = Vec::new();
    macro_rules! views {
        ($($name:literal: $shape:expr, |$x:ident| $view:expr;)*) => { $({
            let name = format!("{batch} items, {}", $name);
            let count = $shape.num_elements();
            let source: Tensor<_, E, D> = tensor(dev, &samples(count as u64, count), $shape);
            let $x = source.leaky_trace();
            let (logits, gradients) = backward(model.forward($view));
            let gradient = numbers(&gradients.get(&source));
            let view = Outcome { name: name.clone(), logits, gradient };

            let $x = source;
            let view_numbers = Tensor::as_vec(&$view);
            let copy: Tensor<_, E, D> = dev.tensor_from_vec(view_numbers, shape);
            let (logits, gradients) = backward(model.forward(copy.leaky_trace()));
            // Which number of the source each of the view's is.
            let indices: Vec<f64> = (0..count).map(|i| i as f64).collect();
            let $x: Tensor<_, f64, Cpu> = tensor(&Cpu::default(), &indices, $shape);
            let mut gradient = vec![0.0; count];
            for (index, term) in Tensor::as_vec(&$view).into_iter().zip(numbers(&gradients.get(&copy))) {
                gradient[index as usize] += term;
            }
            let name = format!("{name}, copied");
            outcomes.push([view, Outcome { name, logits, gradient }]);
        })* };
    }
    views! {
        "one image for all items": (HEIGHT, WIDTH, Const::<3>), |x| x.broadcast_like::<_, Axis<0>>(&shape);
        "one row for all": (batch, WIDTH, Const::<3>), |x| x.broadcast_like::<_, Axis<1>>(&shape);
        "one column for all": (batch, HEIGHT, Const::<3>), |x| x.broadcast_like::<_, Axis<2>>(&shape);
        "one channel for all": (batch, HEIGHT, WIDTH), |x| x.broadcast_like::<_, Axis<3>>(&shape);
        "one row for all items": (WIDTH, Const::<3>), |x| x.broadcast_like::<_, Axes2<0, 1>>(&shape);
        "channels first": (batch, Const::<3>, HEIGHT, WIDTH), |x| x.permute::<_, Axes4<0, 2, 3, 1>>();
        "columns first": (batch, WIDTH, HEIGHT, Const::<3>), |x| x.permute::<_, Axes4<0, 2, 1, 3>>();
        "batch last": (HEIGHT, WIDTH, Const::<3>, batch), |x| x.permute::<_, Axes4<3, 0, 1, 2>>();
        "one image, channels first": (Const::<3>, HEIGHT, WIDTH), |x| {
            x.permute::<_, Axes3<1, 2, 0>>().broadcast_like::<_, Axis<0>>(&shape)
        };
    }
    outcomes
}

/// What is made of views is what is made of copies.
pub fn assert_as_copies(outcomes: &Outcomes, tolerance: f64) {
    let mut failures = Failures::default();
    for [view, copy] in outcomes {
        view.compare(copy, &mut failures, tolerance);
    }
    failures.assert_none();
}

/// What is made of views, and of copies, is as elsewhere.
pub fn assert_same(outcomes: &Outcomes, expected: &Outcomes, tolerance: f64) {
    let mut failures = Failures::default();
    for (found, expected) in outcomes.iter().flatten().zip(expected.iter().flatten()) {
        found.compare(expected, &mut failures, tolerance);
    }
    failures.assert_none();
}

/// The gradient of the latents, which are one for all items of a batch, from an input that is no view.
pub fn latents<E: Dtype, D: Device<E>>(model: &Image<E, D>, batch: usize) -> Vec<f64> {
    let shape = (batch, HEIGHT, WIDTH, Const::<3>);
    let numbers_of_input = samples(3, shape.num_elements());
    let input: Tensor<_, E, D> = tensor(model.latents.device(), &numbers_of_input, shape);
    let (_, gradients) = backward(model.forward(input.leaky_trace()));
    numbers(&gradients.get(&model.latents))
}
