use perceiver::ops::FeedForwardParameters;
use perceiver::prelude::*;

fn main() {
    let dev = Cpu::default();
    let expand: Tensor<Rank2<128, 16>, f32, _> = dev.zeros();
    let expand_bias: Tensor<Rank1<128>, f32, _> = dev.zeros();
    let contract: Tensor<Rank2<16, 32>, f32, _> = dev.zeros();
    let contract_bias: Tensor<Rank1<16>, f32, _> = dev.zeros();
    let _ = FeedForwardParameters {
        expand: &expand,
        expand_bias: &expand_bias,
        contract: &contract,
        contract_bias: &contract_bias,
    };
}
