//! Positions that come with the input.

use perceiver::ForwardError;
use perceiver::prelude::*;

perceiver! {
    /// Points with two features and three coordinates.
    struct Cloud {
        input: Grid { axes: 1, channels: 2, position: Given(3) }, depth: 1, num_latents: 4, latent_dim: 8, num_classes: 6,
    }

    /// The same, with all numbers of a point in one tensor.
    struct Joined { input: Tokens(5), depth: 1, num_latents: 4, latent_dim: 8, num_classes: 6 }

    struct Scene {
        input: Modalities { cloud: Grid { axes: 1, channels: 2, position: Given(3) }, label: OneHot { classes: 5 } },
        depth: 1, num_latents: 4, latent_dim: 8, num_classes: 6,
    }
}

#[test]
fn positions_are_appended_to_the_channels() {
    let dev = Cpu::seed_from_u64(1);
    let mut cloud = dev.build_module::<Cloud, f32>();
    let joined = dev.build_module::<Joined, f32>();
    let file = tempfile::NamedTempFile::new().unwrap();
    joined.save_checkpoint(file.path()).unwrap();
    cloud.load_checkpoint(file.path()).unwrap();

    let features: Tensor<(usize, usize, Const<2>), f32, _> = dev.sample_normal_like(&(2, 7, Const));
    let positions: Tensor<(usize, usize, Const<3>), f32, _> =
        dev.sample_normal_like(&(2, 7, Const));
    let points: Vec<f32> = features
        .as_vec()
        .chunks(2)
        .zip(positions.as_vec().chunks(3))
        .flat_map(|(features, positions)| [features, positions].concat())
        .collect();
    let points: Tensor<(usize, usize, Const<5>), f32, _> =
        dev.tensor_from_vec(points, (2, 7, Const));
    let logits: Tensor<(usize, Const<6>), f32, _> =
        cloud.forward((features.clone(), positions.clone()));
    assert_eq!(logits.as_vec(), joined.forward(points.clone()).as_vec());

    // What is masked may hold anything.
    let mask: Tensor<(usize, usize), bool, _> =
        dev.tensor_from_vec((0..14).map(|i| i % 7 < 5).collect(), (2, 7));
    let mut numbers = positions.as_vec();
    numbers[5 * 3..7 * 3].fill(f32::NAN);
    let unknown = dev.tensor_from_vec(numbers, (2, 7, Const));
    let masked = cloud.forward(((features.clone(), mask.clone()), unknown)).as_vec();
    let expected = joined.forward((points, mask)).as_vec();
    assert!(masked.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6));

    // Gradients reach both.
    let gradients =
        cloud.forward((features.clone(), positions.leaky_trace())).square().mean().backward();
    assert!(gradients.get(&positions).as_vec().iter().all(|x| *x != 0.0));
    assert!(gradients.get(&features).as_vec().iter().all(|x| *x != 0.0));

    let fewer: Tensor<(usize, usize, Const<3>), f32, _> = dev.sample_normal_like(&(2, 6, Const));
    let error = cloud.try_forward((features, fewer)).err().unwrap();
    assert!(matches!(error, ForwardError::PositionShape { .. }), "{error}");
}

#[test]
fn a_cloud_may_be_one_of_several_inputs() {
    let dev = Cpu::seed_from_u64(2);
    let model = dev.build_module::<Scene, f32>();
    let features: Tensor<Rank3<2, 7, 2>, f32, _> = dev.sample_normal();
    let positions: Tensor<Rank3<2, 7, 3>, f32, _> = dev.sample_normal();
    let label: Tensor<Rank2<2, 5>, f32, _> = dev.sample_normal();
    let input = SceneInput { cloud: (features, positions.clone()), label };
    let logits: Tensor<Rank2<2, 6>, f32, _> = model.forward(input.clone());
    let input = SceneInput { cloud: (input.cloud.0, positions.leaky_trace()), label: input.label };
    assert_eq!(model.forward(input).as_vec(), logits.as_vec());
}
