use perceiver::dfdx::nn::BuildModule;
use perceiver::nn::Attention;
use perceiver::prelude::*;

fn main() {
    let dev = Cpu::default();
    let attention = Attention::<32, 29, 4, 16, f32, Cpu>::build(&dev);
    let latents: Tensor<Rank3<2, 8, 32>, f32, _> = dev.sample_normal();
    let tokens: Tensor<Rank3<2, 50, 30>, f32, _> = dev.sample_normal();
    let _ = attention.forward((latents, tokens));
}
