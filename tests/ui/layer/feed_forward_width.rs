use perceiver::dfdx::nn::BuildModule;
use perceiver::nn::FeedForward;
use perceiver::prelude::*;

fn main() {
    let dev = Cpu::default();
    let layer = FeedForward::<16, f32, Cpu>::build(&dev);
    let x: Tensor<Rank3<1, 4, 32>, f32, _> = dev.sample_normal();
    let _ = layer.forward(x);
}
