//! Inputs of any size, with any numbers: `try_forward` and its like return an error exactly where one is documented.

use std::fmt::Debug;

use perceiver::ForwardError;
use perceiver::dfdx::nn::BuildModule;
use perceiver::dfdx::tensor::CpuError;
use perceiver::generate::{Options, Sampling};
use perceiver::prelude::*;
use proptest::prelude::*;
use proptest::sample::{Index, select};

perceiver! {
    /// A classifier of texts.
    struct Text {
        family: Transformers, input: Text { vocab: 30, max_len: 12, dim: 8 }, num_latents: 3, latent_dim: 8, cross_heads: 2,
        latent_heads: 2, depth: 1, output: ClassQuery(3),
    }

    struct Image {
        input: Grid { axes: 2, channels: 3, position: Fourier { bands: 2, max_freq: 8.0 } }, depth: 2, cross_attends: 1,
        num_latents: 3, latent_dim: 8, latent_heads: 2, latent_dim_head: 4, cross_dim_head: 8, output: MeanPool(4),
    }

    struct Inverted {
        input: Tokens(5), depth: 1, num_latents: 3, latent_dim: 8, latent_heads: 2, latent_dim_head: 4, inverted_cross_attn: true,
        output: Latents,
    }

    struct Cloud {
        input: Grid { axes: 1, channels: 2, position: Given(3) }, depth: 1, num_latents: 3, latent_dim: 8, latent_dim_head: 4,
        num_classes: 4,
    }

    /// A row for each token.
    struct Tagger {
        input: Tokens(5), depth: 1, num_latents: 3, latent_dim: 8, latent_dim_head: 4, output: Queries { queries: Input, project: 2 },
    }

    struct Io {
        input: Tokens(5), depth: 1, num_latents: 3, latent_dim: 8, latent_dim_head: 4,
        output: Queries { queries: Given(3), feed_forward: None, project: 2 },
    }

    struct Film {
        input: Modalities {
            sound: Grid { axes: 1, channels: 2, position: Fourier { bands: 4, max_freq: 100.0 } },
            text: Text { vocab: 30, max_len: 9, dim: 8 },
            genre: OneHot { classes: 5, mask: 0.5 },
        },
        depth: 1, num_latents: 3, latent_dim: 8, latent_dim_head: 4,
        output: Modalities {
            class: Queries { queries: Learned([2, 4]), project: 10 },
            picture: Queries { queries: Grid { shape: [5, 7], position: Fourier { bands: 3, max_freq: 8.0 } }, project: 3 },
        },
        output_dim: 6,
    }

    struct Bytes {
        family: PerceiverAr, input: Text { vocab: 30, max_len: 20, dim: 16, position: [Learned, Rotary(0.5)] },
        latents: Last(6), cross_heads: 2, latent_heads: 2, depth: 1, self_per_cross_attn: 2, output: Embedding,
    }
}

type Failure = ForwardError<CpuError>;

/// Checks that there is a result exactly where there should be.
fn is_ok<T>(result: Result<T, Failure>, expected: bool) -> Result<Option<T>, TestCaseError> {
    match result {
        Ok(out) if expected => Ok(Some(out)),
        Ok(_) => Err(TestCaseError::fail("there should be an error")),
        Err(error) => {
            prop_assert!(!expected, "{}", error);
            Ok(None)
        }
    }
}

/// Numbers as they may be in a tensor, of which some may be `wild`.
#[derive(Clone, Debug)]
struct Numbers {
    seed: u64,
    wild: Vec<(Index, f64)>,
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let wild =
        select(&[0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3e38, -1e30, 1e-40][..]);
    let wild = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec((any::<Index>(), wild), 1..4)];
    (any::<u64>(), wild).prop_map(|(seed, wild)| Numbers { seed, wild })
}

impl Numbers {
    fn is_tame(&self) -> bool {
        self.wild.iter().all(|(_, x)| x.abs() <= 1.0)
    }

    fn tensor<S: Shape, E: Dtype>(&self, shape: S) -> Tensor<S, E, Cpu>
    where
        Cpu: Device<E>,
    {
        let count = shape.num_elements();
        let mut numbers: Vec<f64> =
            (0..count).map(|i| ((self.seed % 1000 + i as u64) as f64).sin()).collect();
        for (at, wild) in self.wild.iter().filter(|_| count > 0) {
            numbers[at.index(count)] = *wild;
        }
        Cpu::default()
            .tensor_from_vec(numbers.into_iter().map(|x| E::from_f64(x).unwrap()).collect(), shape)
    }
}

/// A size known only at run time.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0), 6 => 1..5_usize, 2 => 5..24_usize, 1 => 60..70_usize]
}

/// Usually the same, or another size.
fn nearly(size: usize) -> impl Strategy<Value = usize> {
    prop_oneof![6 => Just(size), 1 => self::size()]
}

/// Which of so many positions may be attended to: all, none, or some.
#[derive(Clone, Copy, Debug)]
enum Allowed {
    All,
    None,
    Some(u64),
    /// All but the first.
    After(usize),
}

fn allowed() -> impl Strategy<Value = Allowed> {
    prop_oneof![
        Just(Allowed::All),
        Just(Allowed::None),
        any::<u64>().prop_map(Allowed::Some),
        (0..8_usize).prop_map(Allowed::After),
    ]
}

impl Allowed {
    fn allows(self, place: usize) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Some(bits) => bits >> (place % 64) & 1 == 1,
            Self::After(count) => place >= count,
        }
    }

    /// A mask of items of `len` positions.
    fn mask<S: Shape>(self, shape: S, len: usize) -> Tensor<S, bool, Cpu> {
        let mask = (0..shape.num_elements()).map(|i| self.allows(i % len.max(1))).collect();
        Cpu::default().tensor_from_vec(mask, shape)
    }
}

/// Ids, and sometimes one that is any number.
fn ids(vocab: usize) -> impl Strategy<Value = (u64, Option<(Index, usize)>)> {
    let any_id = prop_oneof![0..2 * vocab, any::<usize>()];
    (any::<u64>(), prop_oneof![3 => Just(None), 1 => (any::<Index>(), any_id).prop_map(Some)])
}

fn ids_tensor(
    (seed, any_id): (u64, Option<(Index, usize)>),
    vocab: usize,
    (batch, len): (usize, usize),
) -> (Tensor<(usize, usize), usize, Cpu>, bool) {
    let mut ids: Vec<usize> =
        (0..batch * len).map(|i| (seed % 1000) as usize * (i + 7) % vocab).collect();
    if let Some((at, id)) = any_id.filter(|_| !ids.is_empty()) {
        let place = at.index(ids.len());
        ids[place] = id;
    }
    let are_known = ids.iter().all(|id| *id < vocab);
    (Cpu::default().tensor_from_vec(ids, (batch, len)), are_known)
}

fn finite<S: Shape, E: Dtype>(out: &Tensor<S, E, Cpu>) -> bool {
    out.as_vec().iter().all(|x| x.to_f64().unwrap().is_finite())
}

#[test]
fn ids_and_their_masks() {
    let model = Cpu::seed_from_u64(1).build_module::<Text, f32>();
    let sizes = (size(), prop_oneof![0..16_usize, size()]);
    let sizes =
        sizes.prop_flat_map(|(batch, len)| (Just((batch, len)), (nearly(batch), nearly(len))));
    proptest!(|((shape, of_mask) in sizes, ids in ids(30), allowed in allowed())| {
        let (ids, are_known) = ids_tensor(ids, 30, shape);
        let fits = shape.0 > 0 && (1..=12).contains(&shape.1) && are_known;
        if let Some(out) = is_ok(model.try_forward(ids.clone()), fits)? {
            prop_assert_eq!(out.shape().0, shape.0);
            prop_assert!(finite(&out));
        }
        let input = (ids, allowed.mask(of_mask, of_mask.1));
        let fits = fits && of_mask == shape;
        if let Some(out) = is_ok(model.try_embed(input.clone()), fits)? {
            prop_assert!(finite(&out));
        }
        is_ok(model.try_attention(input, &[0]), fits)?;
    });
}

/// In `f32` with the kernels, in `f64` with plain operations; from a tensor, and from one that is broadcast.
fn images<E: Dtype + Debug>()
where
    Cpu: Device<E>,
{
    let mut model = Image::<E, Cpu>::build(&Cpu::seed_from_u64(1));
    let sizes = (size(), size(), size()).prop_flat_map(|(batch, h, w)| {
        (Just((batch, h, w)), (nearly(batch), nearly(h), nearly(w)))
    });
    let layers = prop::collection::vec(prop_oneof![4 => 0..3_usize, 1 => any::<usize>()], 0..3);
    let model = std::cell::RefCell::new(&mut model);
    proptest!(|((shape, of_mask) in sizes, numbers in numbers(), allowed in allowed(), layers in layers, broadcast in any::<bool>())| {
        let mut model = model.borrow_mut();
        let (batch, height, width) = shape;
        let whole = (batch, height, width, Const::<3>);
        let x: Tensor<_, E, _> = match broadcast {
            false => numbers.tensor(whole),
            true => numbers.tensor((height, width, Const::<3>)).broadcast_like::<_, Axis<0>>(&whole),
        };
        let fits = batch > 0 && height > 0 && width > 0;
        if let Some(out) = is_ok(model.try_forward(x.clone()), fits)? {
            prop_assert_eq!(out.shape().0, batch);
            prop_assert!(finite(&out) || !numbers.is_tame());
        }
        let input = (x.clone(), allowed.mask(of_mask, of_mask.1 * of_mask.2));
        let masked = fits && of_mask == shape;
        if let Some(out) = is_ok(model.try_embed(input.clone()), masked)? {
            prop_assert!(finite(&out) || !numbers.is_tame());
        }
        is_ok(model.try_attention(input, &layers), masked && layers.iter().all(|layer| *layer == 0))?;
        if let Some(out) = is_ok(model.try_forward_mut(x.leaky_trace()), fits)? {
            out.square().mean().try_backward().unwrap();
        }
    });
}

#[test]
fn images_and_their_masks_in_f32() {
    images::<f32>();
}

#[test]
fn images_and_their_masks_in_f64() {
    images::<f64>();
}

#[test]
fn tokens_and_what_comes_with_them() {
    let dev = Cpu::seed_from_u64(1);
    let inverted = dev.build_module::<Inverted, f32>();
    let (tagger, io) = (dev.build_module::<Tagger, f32>(), dev.build_module::<Io, f32>());
    let cloud = dev.build_module::<Cloud, f32>();
    let sizes = (size(), size()).prop_flat_map(|(batch, len)| {
        (Just((batch, len)), (nearly(batch), nearly(len)), (nearly(batch), size()))
    });
    proptest!(|((shape, beside, of_queries) in sizes, numbers in numbers(), allowed in allowed())| {
        let (batch, len) = shape;
        let fits = batch > 0 && len > 0;
        let x = numbers.tensor((batch, len, Const::<5>));
        let input = (x.clone(), allowed.mask(beside, beside.1));
        is_ok(inverted.try_forward(x.clone()), fits)?;
        is_ok(inverted.try_forward(input.clone()), fits && beside == shape)?;
        if let Some(out) = is_ok(tagger.try_forward(input.clone()), fits && beside == shape)? {
            prop_assert_eq!((out.shape().0, out.shape().1), shape);
            prop_assert!(finite(&out) || !numbers.is_tame());
        }

        let queries = numbers.tensor((of_queries.0, of_queries.1, Const::<3>));
        let queried = fits && of_queries.0 == batch && of_queries.1 > 0;
        is_ok(io.try_forward((x, queries.clone())), queried)?;
        is_ok(io.try_forward((input, queries)), queried && beside == shape)?;

        let features = numbers.tensor((batch, len, Const::<2>));
        let positions = numbers.tensor((beside.0, beside.1, Const::<3>));
        is_ok(cloud.try_forward((features.clone(), positions.clone())), fits && beside == shape)?;
        let masked = (features, allowed.mask(shape, len));
        is_ok(cloud.try_forward((masked, positions)), fits && beside == shape)?;
    });
}

#[test]
fn several_inputs_and_points() {
    let model = Cpu::seed_from_u64(1).build_module::<Film, f32>();
    let sizes = size().prop_flat_map(|batch| {
        (Just(batch), size(), (nearly(batch), 0..12_usize), nearly(batch), (nearly(batch), size()))
    });
    let coordinate = || prop_oneof![8 => 0..7_usize, 1 => any::<usize>()];
    let points = prop::collection::vec([coordinate(), coordinate()], 0..4);
    proptest!(|(
        (batch, len, of_text, of_genre, of_mask) in sizes, ids in ids(30), numbers in numbers(), allowed in allowed(), points in points,
    )| {
        let (text, are_known) = ids_tensor(ids, 30, of_text);
        let sound = numbers.tensor((batch, len, Const::<2>));
        let genre: Tensor<(usize, Const<5>), f32, _> = numbers.tensor((of_genre, Const));
        let fits = batch > 0 && len > 0 && of_text.0 == batch && of_genre == batch && (1..=9).contains(&of_text.1) && are_known;
        let input = FilmInput { sound: sound.clone(), text: text.clone(), genre: genre.clone() };
        if let Some(out) = is_ok(model.try_forward(input.clone()), fits)? {
            prop_assert!((finite(&out.class) && finite(&out.picture)) || !numbers.is_tame());
        }
        let on_grid = !points.is_empty() && points.iter().all(|[y, x]| *y < 5 && *x < 7);
        is_ok(model.try_forward_at(input, FilmPoints { picture: &points }), fits && on_grid)?;
        let masked = FilmInput { sound: (sound, allowed.mask(of_mask, of_mask.1)), text, genre };
        is_ok(model.try_forward(masked), fits && of_mask == (batch, len))?;
    });
}

fn options() -> impl Strategy<Value = Options> {
    let number = || prop_oneof![4 => 0.1..2.0, 1 => select(&[0.0, -1.0, 1.0, f64::NAN, f64::INFINITY, 1e-300, 1e300][..])];
    let top_k = prop::option::of(prop_oneof![0..40_usize, any::<usize>()]);
    let random = (number(), top_k, prop::option::of(number()));
    let random = random.prop_map(|(temperature, top_k, top_p)| Sampling::Random {
        temperature,
        top_k,
        top_p,
    });
    let sampling = prop_oneof![1 => Just(Sampling::Greedy), 2 => random];
    let stop = prop::collection::vec(prop_oneof![0..40_usize, any::<usize>()], 0..3);
    let count = || prop_oneof![4 => 0..8_usize, 1 => any::<usize>()];
    (count(), count(), sampling, number(), stop, any::<u64>()).prop_map(
        |(max_new_tokens, num_latents, sampling, repetition_penalty, stop, seed)| Options {
            max_new_tokens,
            num_latents,
            sampling,
            repetition_penalty,
            stop,
            seed,
        },
    )
}

fn are_valid(options: &Options) -> bool {
    let is_positive = |x: f64| x > 0.0 && x.is_finite();
    let sampling = match options.sampling {
        Sampling::Greedy => true,
        Sampling::Random { temperature, top_k, top_p } => {
            is_positive(temperature)
                && top_k != Some(0)
                && top_p.is_none_or(|p| 0.0 < p && p <= 1.0)
        }
    };
    let stops = options.stop.iter().all(|id| *id < 30);
    sampling
        && stops
        && is_positive(options.repetition_penalty)
        && (1..=6).contains(&options.num_latents)
}

#[test]
fn prefixes_padding_and_generation() {
    let model = Bytes::<f32, Cpu>::build(&Cpu::seed_from_u64(1));
    let sizes = (prop_oneof![1 => Just(0), 6 => 1..4_usize], prop_oneof![0..24_usize, size()]);
    let sizes =
        sizes.prop_flat_map(|(batch, len)| (Just((batch, len)), (nearly(batch), nearly(len))));
    let prefix = prop_oneof![4 => 0..24_usize, 1 => any::<usize>()];
    proptest!(|((shape, of_mask) in sizes, ids in ids(30), prefix in prefix, allowed in allowed(), options in options())| {
        let (ids, are_known) = ids_tensor(ids, 30, shape);
        let (batch, len) = shape;
        let fits = batch > 0 && (1..=20).contains(&len) && are_known;
        if let Some(out) = is_ok(model.try_forward(ids.clone()), fits)? {
            prop_assert_eq!((out.shape().0, out.shape().1), (batch, len.min(6)));
            prop_assert!(finite(&out));
        }
        let leaves = prefix < len && len - prefix <= 6 && prefix <= 14;
        is_ok(model.try_forward((ids.clone(), prefix)), fits && leaves)?;
        // Padding comes first, and a text after it.
        let is_padding = (0..len).any(|place| allowed.allows(place))
            && (1..len).all(|place| allowed.allows(place) || !allowed.allows(place - 1));
        let input = (ids, allowed.mask(of_mask, of_mask.1));
        let fits = fits && of_mask == shape && is_padding;
        is_ok(model.try_forward(input.clone()), fits)?;
        if let Some(generation) = is_ok(model.generation(&input, &options), fits && are_valid(&options))? {
            for tokens in generation.take(20) {
                prop_assert!(tokens.unwrap().into_iter().flatten().all(|token| token < 30));
            }
        }
    });
}
