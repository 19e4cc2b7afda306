use perceiver::dfdx::nn::BuildModule;
use perceiver::input::Grid;
use perceiver::model::{MeanPool, Perceiver};
use perceiver::position::Position;
use perceiver::prelude::*;
use perceiver::spec::Spec;

#[derive(Clone, Debug)]
struct Small;

impl Spec for Small {
    const NAME: &str = "Small";
    type Input = Grid<2, 3>;
    type NumLatents = Const<4>;
    type LatentDim = Const<8>;
    type Output = MeanPool<Const<10>>;
    const POSITION: Position = Position::None;
    const DEPTH: usize = 1;
}

fn main() {
    let dev = Cpu::default();
    let model = Perceiver::<Small, f32, Cpu>::build(&dev);
    let image: Tensor<Rank4<1, 8, 8, 4>, f32, _> = dev.sample_normal();
    let _ = model.try_forward(image);
}
