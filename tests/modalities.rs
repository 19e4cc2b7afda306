//! Models with several inputs and outputs.

mod compare;

use perceiver::ForwardError;
use perceiver::dfdx::optim::{Adam, Optimizer};
use perceiver::prelude::*;

perceiver! {
    /// Classifies a film with its subtitles.
    struct Film {
        input: Modalities {
            /// Two channels.
            sound: Grid { axes: 1, channels: 2, position: Fourier { bands: 4, max_freq: 100.0 } },
            text: Text { vocab: 30, max_len: 9, dim: 8 },
            genre: OneHot { classes: 5, mask: 0.5 },
        },
        depth: 2, num_latents: 4, latent_dim: 8, latent_heads: 2, latent_dim_head: 4, num_classes: 3,
    }

    /// A class and a picture of a sequence.
    struct Picture {
        input: Tokens(6), depth: 1, num_latents: 4, latent_dim: 8,
        output: Modalities {
            class: Queries { queries: Learned([1, 4]), project: 10 },
            picture: Queries {
                queries: Grid { shape: [5, 1000], position: Fourier { bands: 3, max_freq: 8.0 } },
            },
        },
        output_dim: 12,
    }

    /// Only the picture.
    struct Grey {
        input: Tokens(6), depth: 1, num_latents: 4, latent_dim: 8,
        output: Queries { queries: Grid { shape: [5, 7], position: Fourier { bands: 3, max_freq: 8.0 } }, project: 1 },
    }
}

type Sound = Tensor<(usize, usize, Const<2>), f32, Cpu>;
type Ids = Tensor<(usize, usize), usize, Cpu>;
type Genre = Tensor<(usize, Const<5>), f32, Cpu>;

fn film(batch: usize) -> FilmInput<Sound, Ids, Genre> {
    let dev = Cpu::seed_from_u64(7);
    let ids = (0..batch * 6).map(|id| id * 7 % 30).collect();
    FilmInput {
        sound: dev.sample_normal_like(&(batch, 11, Const)),
        text: dev.tensor_from_vec(ids, (batch, 6)),
        genre: dev.sample_normal_like(&(batch, Const)),
    }
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn a_classifier_takes_numbers_text_and_a_class() {
    let dev = Cpu::seed_from_u64(1);
    let mut model = dev.build_module::<Film, f32>();
    let FilmInput { sound, text, genre } = film(2);
    let input = film(2);
    let logits: Tensor<(usize, Const<3>), f32, _> = model.forward(input.clone());
    let latents: Tensor<(usize, Const<4>, Const<8>), f32, _> = model.embed(input.clone());
    assert_eq!((*logits.shape(), *latents.shape()), ((2, Const), (2, Const, Const)));
    assert_eq!(model.num_trainable_params(), Film::PARAMETERS);

    // Masked tokens may hold anything.
    let mask = |allowed: usize, len: usize| {
        let mask = (0..2 * len).map(|i| i % len < allowed).collect();
        dev.tensor_from_vec(mask, (2, len))
    };
    let whole = FilmInput {
        sound: (sound.clone(), mask(11, 11)),
        text: (text.clone(), mask(6, 6)),
        genre: genre.clone(),
    };
    assert!(close(&model.forward(whole).as_vec(), &logits.as_vec()));
    let masked = |beyond: f32| {
        let mut numbers = sound.as_vec();
        for (i, x) in numbers.iter_mut().enumerate() {
            if i / 2 % 11 >= 8 {
                *x = beyond;
            }
        }
        let sound = dev.tensor_from_vec(numbers, (2, 11, Const));
        model
            .forward(FilmInput {
                sound: (sound, mask(8, 11)),
                text: text.clone(),
                genre: genre.clone(),
            })
            .as_vec()
    };
    assert_eq!(masked(1.0), masked(f32::NAN));
    assert!(!close(&masked(1.0), &logits.as_vec()));

    // In training a token is replaced at random, and all parameters are trained.
    let traced = |model: &Film| FilmInput {
        sound: sound.clone(),
        text: text.clone(),
        genre: genre.clone().traced(model.alloc_grads()),
    };
    let outcomes: Vec<_> = (0..8).map(|_| model.forward_mut(traced(&model)).as_vec()).collect();
    assert!(outcomes.iter().any(|outcome| outcome != &outcomes[0]));
    assert!(close(&model.forward(traced(&model)).as_vec(), &logits.as_vec()));
    let mut optimizer = Adam::new(&model, Default::default());
    for _ in 0..4 {
        let gradients = model.forward_mut(traced(&model)).square().mean().backward();
        optimizer.update(&mut model, &gradients).unwrap();
    }
}

#[test]
fn mistakes_name_the_input() {
    let model = Cpu::default().build_module::<Film, f32>();
    let FilmInput { sound, text, genre } = film(2);
    let other = film(3);
    let batch = model.try_forward(FilmInput {
        sound: sound.clone(),
        text: other.text,
        genre: genre.clone(),
    });
    let error = batch.err().unwrap().to_string();
    assert_eq!(error, "`text`: the batch size is 3, but that of the first input is 2");

    let ids: Ids = Cpu::default().tensor_from_vec(vec![30; 12], (2, 6));
    let id = model.try_forward(FilmInput { sound: sound.clone(), text: ids, genre: genre.clone() });
    assert!(matches!(id, Err(ForwardError::Modality { name: "text", .. })));

    let empty: Sound = Cpu::default().zeros_like(&(2, 0, Const));
    let empty = model.try_forward(FilmInput { sound: empty, text, genre });
    assert!(
        empty
            .err()
            .unwrap()
            .to_string()
            .starts_with("`sound`: the input is empty: its batch and axes are [2, 0]")
    );
}

#[test]
fn outputs_share_a_backward_pass() {
    let dev = Cpu::seed_from_u64(2);
    let model = dev.build_module::<Picture, f32>();
    assert_eq!(model.num_trainable_params(), Picture::PARAMETERS);
    let x: Tensor<Rank3<2, 9, 6>, f32, _> = dev.sample_normal();

    // With gradients all queries are decoded at once, without in chunks.
    let out = model.forward(x.clone());
    let class: Tensor<Rank3<2, 1, 10>, f32, _> = out.class;
    let picture: Tensor<Rank4<2, 5, 1000, 12>, f32, _> = out.picture;
    let traced = model.forward(x.leaky_trace());
    assert!(close(&traced.class.as_vec(), &class.as_vec()));
    assert!(close(&traced.picture.as_vec(), &picture.as_vec()));

    // The gradient of a sum of losses is the sum of their gradients.
    let both = (traced.class.square().sum() + traced.picture.square().sum()).backward();
    let class = model.forward(x.leaky_trace()).class.square().sum().backward();
    let picture = model.forward(x.leaky_trace()).picture.square().sum().backward();
    let sum = class.get(&x) + picture.get(&x);
    let (both, sum) = (both.get(&x).as_vec(), sum.as_vec());
    let numbers = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    compare::assert_close("the gradient", &numbers(&both), &numbers(&sum), 1e-4);

    // Twice apart would be half of it, silently.
    let traced = model.forward(x.leaky_trace());
    assert!(traced.class.square().sum().try_backward().is_ok());
    assert!(traced.picture.square().sum().try_backward().is_err());
}

#[test]
fn a_single_output_has_the_axes_of_its_queries() {
    let dev = Cpu::seed_from_u64(3);
    let model = dev.build_module::<Grey, f32>();
    assert_eq!((model.num_trainable_params(), Grey::QUERY_DIM), (Grey::PARAMETERS, 14));
    let x: Tensor<Rank3<2, 9, 6>, f32, _> = dev.sample_normal();
    let out: Tensor<Rank4<2, 5, 7, 1>, f32, _> = model.forward(x);
    assert!(out.as_vec().iter().all(|x| x.is_finite()));
}
