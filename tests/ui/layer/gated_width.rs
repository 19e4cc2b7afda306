use perceiver::dfdx::nn::BuildModule;
use perceiver::nn::{Gated, Hidden, Linear};
use perceiver::ops::FeedForwardParameters;
use perceiver::prelude::*;

fn main() {
    let dev = Cpu::default();
    let expand = Linear::<Const<16>, Gated<16>, f32, Cpu>::build(&dev);
    let contract = Linear::<Hidden<8>, Const<16>, f32, Cpu>::build(&dev);
    let parameters = FeedForwardParameters {
        expand: &expand.weight,
        expand_bias: &expand.bias,
        contract: &contract.weight,
        contract_bias: &contract.bias,
    };
    let x: Tensor<Rank3<1, 4, 16>, f32, _> = dev.zeros();
    let _ = Cpu::try_feed_forward(x, &parameters);
}
