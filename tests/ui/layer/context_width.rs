use perceiver::dfdx::nn::BuildModule;
use perceiver::nn::Attention;
use perceiver::ops::{Attend, Mask};
use perceiver::position::FourierFeatures;
use perceiver::prelude::*;

fn main() {
    let dev = Cpu::default();
    let image: Tensor<Rank4<1, 8, 8, 3>, f32, _> = dev.sample_normal();
    let features = FourierFeatures::<3, 2, 6, 29>::linear(10.0);
    let tokens = features.try_encode(image).unwrap();
    let latents: Tensor<Rank3<1, 4, 16>, f32, _> = dev.sample_normal();
    let attention = Attention::<16, 30, 1, 64, f32, Cpu>::build(&dev);
    let _ = attention.try_attend(latents, tokens, &Mask::None, Attend::default());
}
