use perceiver::prelude::*;

const LAYERS: usize = 0;

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: LAYERS,
        num_latents: COUNT,
        num_clases: 10,
    }
}

fn main() {
    let dev = Cpu::default();
    let model = dev.build_module::<Model, f32>();
    let image: Tensor<Rank4<1, 8, 8, 3>, f32, _> = dev.zeros();
    let _: Tensor<Rank2<1, 10>, f32, _> = model.forward(image);
    println!("{}", Model::PARAMETERS);
}
