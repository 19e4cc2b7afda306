use perceiver::prelude::*;

const HEADS: usize = 2;
const WIDTHS: [usize; 2] = [32, 64];

const fn inverted(experiment: u8) -> bool {
    match experiment {
        0 => false,
        1 => true,
        _ => panic!("there is no such experiment"),
    }
}

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: HEADS - 3,
        latent_dim: WIDTHS[2],
        // Only generic code uses it.
        inverted_cross_attn: inverted(2),
    }
}

fn main() {
    let dev = Cpu::default();
    let model = dev.build_module::<Model, f32>();
    let image: Tensor<Rank4<1, 8, 8, 3>, f32, _> = dev.zeros();
    let _: Tensor<Rank2<1, 1000>, f32, _> = model.forward(image);
    println!("{}", Model::PARAMETERS);
}
