use perceiver::prelude::*;

perceiver! {
    struct Model {
        input: Grid { axes: 2, chanels: 3, position: Fourier { bands: 6, max_frequency: 10.0 } },
        depth: 6,
    }
}

fn main() {
    let dev = Cpu::default();
    let model = dev.build_module::<Model, f32>();
    let image: Tensor<Rank4<1, 8, 8, 3>, f32, _> = dev.zeros();
    let _: Tensor<Rank2<1, 1000>, f32, _> = model.forward(image);
}
