use perceiver::prelude::*;

perceiver! {
    struct Model { input: Tokens(4), depth: 1, output: Latents }
}

fn main() {
    println!("{}", Model::NUM_CLASSES);
}
