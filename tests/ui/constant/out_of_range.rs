use perceiver::prelude::*;

const LAYERS: usize = 0;
const DROPOUT: f64 = 1.5;
const BASE: f64 = 1.0;

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: 1.0 - 1.0,
        depth: LAYERS,
        attn_dropout: DROPOUT,
        ff_dropout: DROPOUT - 1.6,
        freq_base: BASE,
        input_shape: [8, usize::MIN, 3],
        num_classes: 10,
    }
}

fn main() {
    let _ = Cpu::default().build_module::<Model, f32>();
}

const COUNT: usize = usize::MAX;

mod used {
    use perceiver::prelude::*;

    perceiver! {
        struct Model {
            num_freq_bands: 6,
            max_freq: 10.0,
            depth: 2,
            num_classes: super::COUNT,
        }
    }

    pub fn run() {
        let dev = Cpu::default();
        let model = dev.build_module::<Model, f32>();
        let image: Tensor<Rank4<1, 8, 8, 3>, f32, _> = dev.sample_normal();
        let _: Tensor<Rank2<1, 10>, f32, _> = model.forward(image);
        let _ = Model::PARAMETERS;
    }
}
