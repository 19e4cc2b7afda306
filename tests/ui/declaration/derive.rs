use perceiver::prelude::*;

perceiver! {
    #[derive(Clone)]
    #[derive(Debug, Default)]
    struct Model {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
        num_classes: 10,
    }
}

fn main() {
    let dev = Cpu::default();
    let mut model = dev.build_module::<Model, f32>();
    let image: Tensor<Rank4<1, 8, 8, 3>, f32, _> = dev.sample_normal();
    let logits: Tensor<Rank2<1, 10>, f32, _> = model.forward(image.clone());
    let untyped = model.forward_mut(image.leaky_trace());
    let _ = untyped.softmax::<Axis<1>>().array();
    model.save_checkpoint("model.safetensors").unwrap();
    let _ = (logits, Model::PARAMETERS, model.latents.array());
}
