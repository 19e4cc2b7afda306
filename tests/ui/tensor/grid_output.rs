use perceiver::prelude::*;

perceiver! {
    struct Flow {
        input: Grid { shape: [2, 6, 4, 27], stem: [Patches([2, 1, 1]), Linear(8)] }, depth: 1,
        output: Queries { queries: Input, project: 2 },
    }
}

fn main() {
    let dev = Cpu::default();
    let model = dev.build_module::<Flow, f32>();
    let frames: Tensor<Rank5<1, 2, 6, 4, 27>, f32, _> = dev.zeros();
    let flow: Tensor<Rank4<1, 4, 6, 2>, f32, _> = model.forward(frames);
}
