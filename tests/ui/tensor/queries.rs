use perceiver::prelude::*;

perceiver! {
    struct Model { input: Tokens(8), depth: 1, output: Queries { queries: Given(6), project: 5 } }
}

fn main() {
    let dev = Cpu::default();
    let model = dev.build_module::<Model, f32>();
    let x: Tensor<(usize, usize, Const<8>), f32, Cpu> = dev.zeros_like(&(2, 7, Const));
    let wide: Tensor<(usize, usize, Const<7>), f32, Cpu> = dev.zeros_like(&(2, 3, Const));
    let queries: Tensor<(usize, usize, Const<6>), f32, Cpu> = dev.zeros_like(&(2, 3, Const));
    let of_one: Tensor<Rank2<3, 6>, f32, Cpu> = dev.zeros();

    let _ = model.forward((x.clone(), wide));
    let _ = model.forward((x.clone(), of_one));
    let _ = model.forward(x.clone());
    let out: Tensor<(usize, usize, Const<6>), f32, Cpu> = model.forward((x, queries));
}
