use perceiver::prelude::*;

perceiver! {
    pub Model {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
    }
}

fn main() {
    let model = Cpu::default().build_module::<Model, f32>();
    let image: Tensor<Rank4<1, 8, 8, 3>, f32, _> = Cpu::default().sample_normal();
    let _ = model.forward(image).array();
}
