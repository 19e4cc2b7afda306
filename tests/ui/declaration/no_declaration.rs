use perceiver::prelude::*;

perceiver! {
    6
}

fn main() {}
