use perceiver::dfdx::tensor_ops::Device;
use perceiver::prelude::{Rank2, Rank4, Tensor, perceiver};

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 2,
        num_classes: 10,
    }
}

struct Classifier<D: Device<f32>> {
    model: Model<f32, D>,
}

impl<D: Device<f32>> Classifier<D> {
    fn run(&self, image: Tensor<Rank4<1, 8, 8, 3>, f32, D>) -> Vec<f32> {
        let logits: Tensor<Rank2<1, 10>, f32, D> = self.model.forward(image);
        logits.as_vec()
    }
}

fn main() {}
