use perceiver::prelude::*;

perceiver! {
    struct Model {
        input_shape: [28, 28],
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 2,
        num_classes: 10,
    }
}

fn main() {
    let dev = Cpu::default();
    let model = dev.build_module::<Model, f32>();
    let digits: Tensor<Rank4<5, 28, 28, 1>, f32, _> = dev.sample_normal();
    let logits: Tensor<Rank2<5, 10>, f32, _> = model.forward(digits);
    println!("{:?}", logits.softmax::<Axis<1>>().array());
}
