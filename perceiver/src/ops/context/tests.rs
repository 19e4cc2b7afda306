//! Tests of the kernels against the reference implementation.

use proptest::prelude::*;

use super::*;
use crate::ops::Device;
use crate::ops::cpu::compare::{
    Outcome, assert_close, backward, matrix, numbers, samples, tensor, vector,
};

#[derive(Clone, Debug)]
struct Case {
    batch: usize,
    queries: usize,
    channels: usize,
    axes: Vec<usize>,
    /// Per axis; not encoded if 0.
    features: usize,
    /// The scale of the scores.
    size: f64,
    /// A token may be attended to where its sample is below this; no mask if above 9.
    keep: f64,
    softmax: Softmax,
    /// If small, keys and values are materialised; if large, they are not.
    dim_head: usize,
    seed: u64,
}

/// The result alone, unless gradients are tracked.
fn run<E: Dtype>(case: &Case, is_tracked: bool) -> Outcome
where
    Cpu: Device<E>,
{
    let &Case { batch, queries, channels, features, seed, .. } = case;
    let tokens: usize = case.axes.iter().product();
    let width = channels + case.axes.len() * features;
    // Values of another dimension than keys in every other case.
    let value_dim = case.dim_head + usize::try_from(case.seed % 2).unwrap() * 3;
    let heads = Heads { count: 2, dim: case.dim_head, value_dim };
    let data = tensor::<_, E>((batch, tokens, channels), &samples(seed, batch * tokens * channels));
    let inner = heads.width();
    let query = samples(seed + 1, batch * queries * inner);
    let query: Vec<f64> = query.into_iter().map(|x| case.size * x).collect();
    let query = tensor((batch, queries, inner), &query);
    let norm_weight = vector(&samples(seed + 7, width));
    let norm_bias = vector(&samples(seed + 8, width));
    let kv = heads.key_value_width();
    let to_kv = matrix(kv, width, &samples(seed + 9, kv * width));
    let kv_bias = vector(&samples(seed + 10, kv));
    let parameters = CrossParameters {
        norm_weight: &norm_weight,
        norm_bias: &norm_bias,
        to_kv: &to_kv,
        kv_bias: (seed % 3 > 0).then_some(&kv_bias),
        heads,
    };
    let mask = samples(seed + 2, batch * tokens).into_iter();
    let mask: Vec<bool> = mask.map(|x| x < case.keep).collect();
    let encoded = if features == 0 { &[][..] } else { &case.axes };
    let tables =
        encoded.iter().map(|&size| samples(seed + 3 + size as u64, size * features)).collect();
    let dev = Cpu::default();
    let tokens = Positioned {
        channels: data.clone(),
        axes: case.axes.clone(),
        features: tables,
        mask: (case.keep < 9.0).then(|| dev.tensor_from_vec(mask, (batch, tokens))),
    };
    let attend = Attend { softmax: case.softmax, ..Attend::default() };
    let mut record = if is_tracked { Record::new() } else { Record::for_tape::<NoneTape>() };
    let context = Cpu::try_prepare(&mut record, tokens, attend).unwrap();
    let out = Cpu::try_cross_attention(&mut record, query.clone(), &parameters, &context).unwrap();
    if !is_tracked {
        return vec![numbers(&out)];
    }
    let (out, gradients) = backward(record, out);
    vec![
        out,
        numbers(&gradients.get(&query)),
        numbers(&gradients.get(&data)),
        numbers(&gradients.get(&norm_weight)),
        numbers(&gradients.get(&norm_bias)),
        numbers(&gradients.get(&to_kv)),
        if seed % 3 > 0 { numbers(&gradients.get(&kv_bias)) } else { Vec::new() },
    ]
}

fn check(case: &Case, tolerance: f64) {
    for is_tracked in [true, false] {
        assert_close(&run::<f32>(case, is_tracked), &run::<f64>(case, is_tracked), tolerance);
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let axes = prop_oneof![
        prop::collection::vec(1..30_usize, 1..3),
        prop::collection::vec(1..8_usize, 3..4),
    ];
    let keep = prop_oneof![Just(10.0), -1.0..1.0];
    let softmax = prop_oneof![3 => Just(Softmax::Tokens), 1 => Just(Softmax::Queries)];
    let dim_head = prop_oneof![Just(3), Just(64)];
    let channels = prop_oneof![2 => 1..6_usize, 1 => 6..40_usize];
    ((softmax, dim_head), 1..3_usize, 1..40_usize, channels, axes, 0..9_usize, keep, 0..1000_u64)
        .prop_map(|((softmax, dim_head), batch, queries, channels, axes, features, keep, seed)| {
            Case {
                softmax,
                dim_head,
                batch,
                queries,
                // One number is its own mean, and two become ±1: their derivatives are all rounding.
                channels: if features < 2 { channels + 2 } else { channels },
                axes,
                features,
                size: 0.5,
                keep,
                seed,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn kernels_match_reference(case in cases()) {
        check(&case, 1e-4);
    }
}

/// An image that is split among threads.
const IMAGE: Case = Case {
    batch: 2,
    queries: 70,
    channels: 3,
    axes: Vec::new(),
    features: 9,
    size: 0.5,
    keep: 10.0,
    softmax: Softmax::Tokens,
    dim_head: 64,
    seed: 5,
};

#[test]
fn an_image_is_cut_among_threads() {
    let case = Case { axes: vec![45, 51], ..IMAGE };
    check(&case, 1e-4);
    check(&Case { keep: 0.3, ..case.clone() }, 1e-4);
    check(&Case { axes: vec![3, 15, 51], ..case.clone() }, 1e-4);
    // More channels than the kernels are compiled for, and more columns and queries than a tile has.
    check(&Case { channels: 30, keep: 0.3, ..case.clone() }, 1e-4);
    check(&Case { channels: 30, queries: 300, axes: vec![2, 600], batch: 1, ..case }, 1e-4);
}

#[test]
fn one_token_no_token_and_extreme_scores() {
    let case = Case { axes: vec![1, 1], ..IMAGE };
    check(&case, 1e-4);
    check(&Case { axes: vec![6, 7], keep: -9.0, ..case.clone() }, 1e-4);
    check(&Case { axes: vec![6, 7], keep: -9.0, channels: 30, ..case.clone() }, 1e-4);
    check(&Case { axes: vec![2000], batch: 1, ..case.clone() }, 1e-4);
    // For scores of ±1e4, f32 has three digits after the decimal point.
    check(&Case { axes: vec![6, 7], size: 1e3, ..case.clone() }, 2e-2);
    check(&Case { axes: vec![6, 7], size: 1e3, channels: 30, ..case }, 2e-2);
}

/// The order of evaluation is chosen by the number of operations, and nothing is materialised unless it is needed.
#[test]
fn keys_and_values_are_made_only_where_that_is_less_work() {
    assert!(absorb::absorbs(29, Heads::new(1, 64), 256));
    assert!(absorb::absorbs(261, Heads::new(1, 64), 64));
    assert!(!absorb::absorbs(261, Heads::new(1, 64), 512));
    assert!(!absorb::absorbs(1024, Heads::new(1, 64), 2048));
}

#[test]
fn tokens_stay_in_parts_unless_they_are_needed_whole_or_have_many_channels() {
    let dev = Cpu::default();
    let tokens = |channels| Positioned::<f32, Cpu> {
        channels: dev.zeros_like(&(1, 99, channels)),
        axes: vec![9, 11],
        features: vec![vec![0.5; 9 * 2], vec![0.5; 11 * 2]],
        mask: None,
    };
    let prepared = |mut record, channels, attend| {
        let context = Cpu::try_prepare(&mut record, tokens(channels), attend).unwrap();
        context.is_separable()
    };
    let is_separable = |channels, attend| prepared(Record::new(), channels, attend);
    let plain = Attend::default();
    let inverted = Attend { softmax: Softmax::Queries, ..plain };
    let dropped = Attend { dropout: 0.1, ..plain };
    assert!(is_separable(3, plain));
    assert!(!is_separable(5, plain));
    assert!(!is_separable(3, inverted));
    assert!(!is_separable(3, dropped));
    assert!(prepared(Record::for_tape::<NoneTape>(), 5, plain));
    assert!(separable::is_better(64, Heads::new(1, 64)));
    assert!(!separable::is_better(65, Heads::new(1, 64)));
}

#[test]
fn queries_have_gradients_at_tokens_that_were_prepared_without() {
    let data = samples(1, 12 * 9);
    let tokens = Positioned::<f32, Cpu> {
        channels: tensor((1, 12, 9), &data),
        axes: vec![3, 4],
        features: vec![vec![0.5; 3 * 2], vec![0.25; 4 * 2]],
        mask: None,
    };
    let record = &mut Record::for_tape::<NoneTape>();
    let context = Cpu::try_prepare(record, tokens, Attend::default()).unwrap();
    let parameters = CrossParameters {
        norm_weight: &vector(&[1.0; 13]),
        norm_bias: &vector(&[0.0; 13]),
        to_kv: &matrix(128, 13, &samples(2, 128 * 13)),
        kv_bias: None,
        heads: Heads::new(1, 64),
    };
    let query = tensor((1, 3, 64), &samples(3, 3 * 64));
    let attend = |record: &mut Record<f32, Cpu>| {
        Cpu::try_cross_attention(record, query.clone(), &parameters, &context).unwrap()
    };
    let without = numbers(&attend(record));
    let mut record = Record::new();
    let (out, gradients) = {
        let out = attend(&mut record);
        backward(record, out)
    };
    assert_close(&vec![out], &vec![without], 1e-5);
    assert!(numbers(&gradients.get(&query)).iter().any(|x| x.abs() > 1e-3));
}

#[test]
fn sizes_that_do_not_fit_are_an_error() {
    let fits = |tokens: usize, inner: usize, norm: usize| {
        let data = tensor::<_, f32>((1, 4, tokens), &vec![0.0; 4 * tokens]);
        let tokens = Positioned { channels: data, axes: vec![4], features: Vec::new(), mask: None };
        let record = &mut Record::new();
        let context = Cpu::try_prepare(record, tokens, Attend::default()).unwrap();
        let parameters = CrossParameters {
            norm_weight: &vector(&vec![1.0; norm]),
            norm_bias: &vector(&vec![0.0; norm]),
            to_kv: &matrix(16, 5, &[0.0; 80]),
            kv_bias: None,
            heads: Heads::new(2, 4),
        };
        let query = tensor((1, 3, inner), &vec![0.0; 3 * inner]);
        Cpu::try_cross_attention(record, query, &parameters, &context).is_ok()
    };
    assert!(fits(5, 8, 5));
    assert!(!fits(6, 8, 5));
    assert!(!fits(5, 7, 5));
    assert!(!fits(5, 8, 4));
}
