use perceiver::prelude::*;

perceiver! {}

fn main() {
    let _ = Cpu::default().build_module::<Perceiver, f32>();
}
