use perceiver::dfdx::nn::BuildModule;
use perceiver::dims::Inner;
use perceiver::nn;
use perceiver::prelude::*;

fn main() {
    let dev = Cpu::default();
    let to_heads = nn::Linear::<Const<32>, Inner<4, 8>, f32, Cpu>::build(&dev);
    let from_heads = nn::Linear::<Inner<4, 16>, Const<32>, f32, Cpu>::build(&dev);
    let latents: Tensor<Rank3<2, 8, 32>, f32, _> = dev.sample_normal();
    let _ = from_heads.forward(to_heads.forward(latents));
}
