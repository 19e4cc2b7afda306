//! The kernels for a GPU against their reference implementations, which a `Cpu` runs in `f64`: results and the gradients of
//! all inputs, in every data type.

use perceiver::ops::{
    Angles, Attend, AttentionKernel, CrossParameters, EmbedKernel, FeedForwardParameters, Mask,
    Matrix, Positioned, Record, Rows, Vector,
};
use perceiver::prelude::*;
use perceiver::spec::{Activation, Heads, Width};

use crate::compare::assert_close;
use crate::gpu;

/// Numbers from -1 to 1 that no data type rounds.
fn samples(seed: usize, len: usize) -> Vec<f64> {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 54) as f64 - 512.0) / 512.0
    };
    (0..len).map(|_| next()).collect()
}

fn tensor<S: Shape, E: Dtype, D: Device<E>>(dev: &D, seed: usize, shape: S) -> Tensor<S, E, D> {
    let numbers = samples(seed, shape.num_elements());
    let numbers = numbers.into_iter().map(|x| E::from_f64(x).unwrap()).collect();
    dev.tensor_from_vec(numbers, shape)
}

fn matrix<E: Dtype, D: Device<E>>(
    dev: &D,
    seed: usize,
    rows: usize,
    columns: usize,
) -> Matrix<E, D> {
    tensor(dev, seed, (Width::new(rows), Width::new(columns)))
}

fn vector<E: Dtype, D: Device<E>>(dev: &D, seed: usize, len: usize) -> Vector<E, D> {
    tensor(dev, seed, (Width::new(len),))
}

fn numbers<S: Shape, E: Dtype, D: Device<E>, T>(tensor: &Tensor<S, E, D, T>) -> Vec<f64> {
    tensor.as_vec().iter().map(|x| x.to_f64().unwrap()).collect()
}

/// The numbers of a result, and the gradients of the sum of their products with other numbers.
fn backward<S: Shape, E: Dtype, D: Device<E>>(
    record: Record<E, D>,
    out: Tensor<S, E, D>,
) -> (Vec<f64>, Gradients<E, D>) {
    let found = numbers(&out);
    let factors = tensor(out.device(), 99, (found.len(),));
    let mut tape = OwnedTape::default();
    record.put_on(&mut tape);
    let out = out.put_tape(tape).reshape_like(&(found.len(),));
    let loss = (out * factors).sum::<Rank0, _>();
    (found, loss.backward())
}

fn record<E: Dtype, D: Device<E>>() -> Record<E, D> {
    Record::for_tape::<OwnedTape<E, D>>()
}

/// Compares what an operation does in each data type on a GPU with what it does in `f64` on the `Cpu`.
macro_rules! agree {
    ($name:expr, $run:ident($($argument:expr),*)) => {{
        let (cpu, gpu) = (Cpu::default(), gpu());
        let expected = $run::<f64, Cpu>(&cpu $(, $argument)*);
        let compare = |dtype: &str, found: Vec<Vec<f64>>, tolerance: f64| {
            assert_eq!(found.len(), expected.len());
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_close(&format!("{i} of {} in {dtype}", $name), found, expected, tolerance);
            }
        };
        compare("f64", $run::<f64, Cuda>(&*gpu $(, $argument)*), 1e-9);
        compare("f32", $run::<f32, Cuda>(&*gpu $(, $argument)*), 1e-4);
        #[cfg(feature = "f16")]
        {
            use perceiver::dfdx::dtypes::{AMP, f16};
            compare("f16", $run::<f16, Cuda>(&*gpu $(, $argument)*), 2e-2);
            compare("AMP", $run::<AMP<f16>, Cuda>(&*gpu $(, $argument)*), 2e-2);
        }
    }};
}

fn layer_norm<E: Dtype, D: Device<E>>(dev: &D, shape: (usize, usize, usize)) -> Vec<Vec<f64>> {
    let (x, mut record) = (tensor(dev, 1, shape), record());
    let (weight, bias) = (vector(dev, 2, shape.2), vector(dev, 3, shape.2));
    let y = D::try_layer_norm(&mut record, x.clone(), &weight, &bias).unwrap();
    let (y, gradients) = backward(record, y);
    let of = |parameter| numbers(&gradients.get(parameter));
    vec![y, numbers(&gradients.get(&x)), of(&weight), of(&bias)]
}

#[test]
fn layer_norms_agree() {
    for shape in [(1, 1, 3), (2, 5, 31), (3, 9, 64), (1, 70, 33)] {
        agree!(format!("{shape:?}"), layer_norm(shape));
    }
}

fn linear<E: Dtype, D: Device<E>>(
    dev: &D,
    (batch, rows, inputs, outputs): (usize, usize, usize, usize),
    has_bias: bool,
    has_residual: bool,
) -> Vec<Vec<f64>> {
    let (x, mut record) = (tensor(dev, 1, (batch, rows, inputs)), record());
    let (weight, bias) = (matrix(dev, 2, outputs, inputs), vector(dev, 3, outputs));
    let weight_of_map = weight.clone().into();
    let bias_of_map = has_bias.then_some(&bias);
    let residual = has_residual.then(|| tensor(dev, 4, (batch, rows, outputs)));
    let y = D::try_linear(&mut record, x.clone(), &weight_of_map, bias_of_map, residual.as_ref());
    let (y, gradients) = backward(record, y.unwrap());
    let mut all = vec![y, numbers(&gradients.get(&x)), numbers(&gradients.get(&weight))];
    all.extend(bias_of_map.map(|bias| numbers(&gradients.get(bias))));
    all.extend(residual.map(|residual| numbers(&gradients.get(&residual))));
    all
}

#[test]
fn linear_maps_agree() {
    for sizes in [(1, 1, 1, 1), (2, 3, 5, 7), (2, 20, 33, 40)] {
        for (bias, residual) in [(true, true), (true, false), (false, true), (false, false)] {
            let case = format!("{sizes:?}, bias: {bias}, residual: {residual}");
            agree!(case, linear(sizes, bias, residual));
        }
    }
}

fn feed_forward<E: Dtype, D: Device<E>>(
    dev: &D,
    activation: Activation,
    has_biases: bool,
) -> Vec<Vec<f64>> {
    let (width, hidden, outputs) = (5, 12, 6);
    let expanded = activation.inputs() * hidden;
    let (x, mut record) = (tensor(dev, 1, (2, 7, width)), record());
    let (expand, contract) = (matrix(dev, 2, expanded, width), matrix(dev, 3, outputs, hidden));
    let (expand_bias, contract_bias) = (vector(dev, 4, expanded), vector(dev, 5, outputs));
    let parameters = FeedForwardParameters {
        expand: &expand.clone().into(),
        expand_bias: has_biases.then_some(&expand_bias),
        contract: &contract.clone().into(),
        contract_bias: has_biases.then_some(&contract_bias),
        activation,
    };
    let residual = tensor(dev, 6, (2, 7, outputs));
    let y = D::try_feed_forward(&mut record, x.clone(), &parameters, Some(&residual)).unwrap();
    let (y, gradients) = backward(record, y);
    let of = |parameter| numbers(&gradients.get(parameter));
    let rows = [&x, &residual].map(|rows| numbers(&gradients.get(rows)));
    let mut all = vec![y, of(&expand), of(&contract)];
    all.extend(rows);
    if has_biases {
        all.extend([&expand_bias, &contract_bias].map(|bias| numbers(&gradients.get(bias))));
    }
    all
}

#[test]
fn feed_forward_layers_agree() {
    use Activation::{Geglu, Gelu, Relu, SquaredRelu, TanhGelu};
    for activation in [Geglu, Gelu, TanhGelu, Relu, SquaredRelu] {
        agree!(format!("{activation:?} with biases"), feed_forward(activation, true));
        agree!(format!("{activation:?}"), feed_forward(activation, false));
    }
}

/// A residual connection, a mean, and copies for each item.
fn rows_of_all_kinds<E: Dtype, D: Device<E>>(dev: &D) -> Vec<Vec<f64>> {
    let (x, mut record) = (tensor(dev, 1, (4, 33)), record());
    let branch = tensor(dev, 2, (3, 4, 33));
    let rows = D::try_repeat(&mut record, x.clone(), 3).unwrap();
    let sum = D::try_residual(&mut record, rows.clone(), branch.clone(), 0.0).unwrap();
    let sum = D::try_residual(&mut record, rows, sum, 0.0).unwrap();
    let mean = D::try_mean(&mut record, sum).unwrap();
    let (mean, gradients) = backward(record, mean);
    vec![mean, numbers(&gradients.get(&x)), numbers(&gradients.get(&branch))]
}

#[test]
fn sums_and_means_agree() {
    agree!("sums and means", rows_of_all_kinds());
}

fn mean<E: Dtype, D: Device<E>>(dev: &D, shape: (usize, usize, usize)) -> Vec<Vec<f64>> {
    let (x, mut record) = (tensor(dev, 1, shape), record());
    let mean = D::try_mean(&mut record, x.clone()).unwrap();
    let (mean, gradients) = backward(record, mean);
    vec![mean, numbers(&gradients.get(&x))]
}

/// More items than a grid may have blocks along its second axis.
#[test]
fn means_of_many_items_agree() {
    agree!("a large batch", mean((65_537, 2, 1)));
}

/// Two tables, of which the first is read at places that are no contiguous tensor.
fn embedding<E: Dtype, D: Device<E>>(
    dev: &D,
    (batch, tokens): (usize, usize),
    width: usize,
    rows: [usize; 2],
) -> Vec<Vec<f64>> {
    // Some rows more than once, some by most places, and some never.
    let places = |rows: usize| -> Vec<usize> {
        (0..batch * tokens).map(|i| if i % 3 == 0 { 1 % rows } else { i * i * 7 % rows }).collect()
    };
    let tables: [Matrix<E, D>; 2] = [0, 1].map(|i| matrix(dev, i, rows[i], width));
    let first: Tensor<(usize, usize), usize, D> =
        dev.tensor_from_vec(places(rows[0]), (tokens, batch));
    let first = first.permute::<(usize, usize), Axes2<1, 0>>();
    let second = dev.tensor_from_vec(places(rows[1]), (batch, tokens));
    let mut record = record();
    let both = [(&tables[0], &first), (&tables[1], &second)];
    let y = D::try_embed(&mut record, &both).unwrap();
    let (y, gradients) = backward(record, y);
    let of = |table| numbers(&gradients.get(table));
    vec![y, of(&tables[0]), of(&tables[1])]
}

#[test]
fn embeddings_agree() {
    // The last has more columns than a block sums, and more places than its warps go through at once.
    for (shape, width, rows) in
        [((1, 1), 1, [1, 1]), ((2, 3), 5, [4, 40]), ((3, 110), 150, [262, 30])]
    {
        agree!(format!("{shape:?}, {width}"), embedding(shape, width, rows));
    }
}

/// Which of the masks.
#[derive(Clone, Copy, Debug)]
enum Kind {
    None,
    Keys,
    /// All keys of the first item are masked.
    NoKeys,
    Pairs,
    Causal,
    CausalKeys,
}

fn mask<D: Device<f64>>(
    dev: &D,
    kind: Kind,
    (batch, queries, keys): (usize, usize, usize),
) -> Mask<D> {
    let flags =
        |len: usize| -> Vec<f64> { (0..len).map(|i| f64::from(u8::from(i % 3 != 1))).collect() };
    let of_keys = |flags: Vec<f64>| dev.tensor_from_vec(flags, (batch, keys)).gt(0.5);
    let offset = keys.saturating_sub(queries);
    match kind {
        Kind::None => Mask::None,
        Kind::Keys => Mask::Keys(of_keys(flags(batch * keys))),
        Kind::NoKeys => {
            let mut flags = flags(batch * keys);
            flags[..keys].fill(0.0);
            Mask::Keys(of_keys(flags))
        }
        Kind::Pairs => {
            let flags = flags(batch * queries * keys);
            Mask::Pairs(dev.tensor_from_vec(flags, (batch, queries, keys)).gt(0.5))
        }
        Kind::Causal => Mask::Causal { offset },
        Kind::CausalKeys => Mask::CausalKeys { offset, keys: of_keys(flags(batch * keys)) },
    }
}

fn attention<E: Dtype, D: Device<E> + Device<f64>>(
    dev: &D,
    sizes @ (batch, queries, keys): (usize, usize, usize),
    heads: Heads,
    kind: Kind,
) -> Vec<Vec<f64>> {
    let query: Rows<E, D> = tensor(dev, 1, (batch, queries, heads.width()));
    let key_value: Rows<E, D> = tensor(dev, 2, (batch, keys, heads.key_value_width()));
    let (mask, mut record) = (mask(dev, kind, sizes), record());
    let (q, kv, attend) = (query.clone(), key_value.clone(), Attend::default());
    let y = <D as AttentionKernel<E>>::try_attention(&mut record, q, kv, heads, &mask, attend);
    let (y, gradients) = backward(record, y.unwrap());
    vec![y, numbers(&gradients.get(&query)), numbers(&gradients.get(&key_value))]
}

fn heads(count: usize, dim: usize, value_dim: usize) -> Heads {
    Heads { count, dim, value_dim }
}

#[test]
fn attention_agrees() {
    // The last but one has more keys than one block goes through, and the last is too wide for two rows of a thread.
    let cases = [
        ((1, 1, 3), heads(1, 1, 1)),
        ((2, 5, 64), heads(2, 8, 8)),
        ((1, 40, 65), heads(3, 20, 33)),
        ((2, 3, 700), heads(1, 16, 5)),
        ((1, 18, 70), heads(1, 40, 140)),
    ];
    for (sizes, heads) in cases {
        for kind in [Kind::None, Kind::Keys, Kind::Causal] {
            agree!(format!("{sizes:?}, {heads:?}, {kind:?}"), attention(sizes, heads, kind));
        }
    }
    for kind in [Kind::NoKeys, Kind::Pairs, Kind::CausalKeys] {
        let (sizes, heads) = ((2, 36, 66), heads(2, 9, 17));
        agree!(format!("{kind:?}"), attention(sizes, heads, kind));
    }
}

fn cross_attention<E: Dtype, D: Device<E> + Device<f64>>(
    dev: &D,
    axes: &[usize],
    channels: usize,
    heads: Heads,
    is_masked: bool,
) -> Vec<Vec<f64>> {
    let (batch, queries) = (2, 6);
    let tokens: usize = axes.iter().product();
    let features = axes.iter().enumerate().map(|(i, size)| samples(i + 20, size * (i + 1)));
    let features: Vec<Vec<f64>> = features.collect();
    let width = channels + (1..=axes.len()).sum::<usize>();
    let grid: Rows<E, D> = tensor(dev, 1, (batch, tokens, channels));
    let query: Rows<E, D> = tensor(dev, 2, (batch, queries, heads.width()));
    let (norm_weight, norm_bias) = (vector(dev, 3, width), vector(dev, 4, width));
    let key_values = heads.key_value_width();
    let (to_kv, kv_bias) = (matrix(dev, 5, key_values, width), vector(dev, 6, key_values));
    let mask = is_masked.then(|| match mask(dev, Kind::Keys, (batch, queries, tokens)) {
        Mask::Keys(mask) => mask,
        other => unreachable!("{other:?}"),
    });
    let positioned = Positioned { channels: grid.clone(), axes: axes.to_vec(), features, mask };
    let parameters = CrossParameters {
        norm_weight: &norm_weight,
        norm_bias: &norm_bias,
        to_kv: &to_kv,
        kv_bias: Some(&kv_bias),
        heads,
    };
    let mut record = record();
    let context = D::try_prepare(&mut record, positioned, Attend::default()).unwrap();
    let q = query.clone();
    let y = D::try_cross_attention(&mut record, q, &parameters, &context).unwrap();
    let (y, gradients) = backward(record, y);
    // The gradient of the keys' bias is 0, but for rounding.
    let of_bias = numbers(&gradients.get(&kv_bias)).split_off(heads.width());
    let of_vectors = [&norm_weight, &norm_bias].map(|vector| numbers(&gradients.get(vector)));
    let mut all = vec![y, numbers(&gradients.get(&grid)), numbers(&gradients.get(&query)), of_bias];
    all.push(numbers(&gradients.get(&to_kv)));
    all.extend(of_vectors);
    all
}

#[test]
fn cross_attention_agrees() {
    // Heads that are wide enough for queries to be projected into the space of tokens, and some that are not.
    let of_tokens = heads(2, 24, 20);
    for (axes, is_masked) in
        [(&[70][..], false), (&[5, 7], true), (&[3, 4, 5], false), (&[2, 3, 2, 3], true)]
    {
        agree!(format!("{axes:?}"), cross_attention(axes, 3, of_tokens, is_masked));
    }
    agree!("wide tokens", cross_attention(&[9], 40, heads(2, 3, 4), true));
    agree!("many axes", cross_attention(&[2, 1, 2, 2, 2], 2, of_tokens, false));
    agree!("many keys", cross_attention(&[300, 2], 2, of_tokens, false));
}

fn rotation<E: Dtype, D: Device<E>>(dev: &D, positions: &[usize]) -> Vec<Vec<f64>> {
    let (rows, heads) = (4, Heads::new(2, 6));
    let (x, mut record) = (tensor(dev, 1, (2, rows, 16)), record());
    let angles = Angles::new(positions, rows, 4);
    let y = D::try_rotate(&mut record, x.clone(), heads, &angles).unwrap();
    let (y, gradients) = backward(record, y);
    vec![y, numbers(&gradients.get(&x))]
}

#[test]
fn rotations_agree() {
    agree!("the same for all", rotation(&[0, 1, 5, 9]));
    agree!("of each item", rotation(&[0, 1, 5, 9, 3, 3, 2, 100]));
}

/// More tokens than the cache has space for.
fn cache<E: Dtype, D: Device<E>>(dev: &D, heads: Heads) -> Vec<Vec<f64>> {
    let (batch, capacity) = (2, 5);
    let rows = |seed, count, width| tensor(dev, seed, (batch, count, width));
    let width = heads.key_value_width();
    let mut cache = D::try_cache(rows(1, 3, width), capacity).unwrap();
    let mut all = Vec::new();
    for i in 2..8 {
        let before = cache.clone();
        D::try_push(&mut cache, rows(i, 1, width)).unwrap();
        let query = || rows(10 * i, 1, heads.width());
        let allowed: Vec<bool> =
            (0..batch * D::cached(&cache)).map(|place| place % 3 != 0).collect();
        for allowed in [None, Some(&*allowed)] {
            all.push(numbers(&D::try_attend_cached(query(), &cache, heads, allowed).unwrap()));
        }
        // A clone has its own memory.
        all.push(numbers(&D::try_attend_cached(query(), &before, heads, None).unwrap()));
    }
    all
}

#[test]
fn caches_agree() {
    agree!("the cache", cache(heads(2, 5, 7)));
}

/// The rows of places that are not in the table have no numbers, and nothing else is read or written.
#[test]
fn places_beyond_a_table_are_nan() {
    let gpu = gpu();
    let (table, mut record) = (matrix::<f32, Cuda>(&*gpu, 1, 3, 2), record());
    let places = gpu.tensor_from_vec(vec![2, 3, usize::MAX, 0], (2, 2));
    let y = <Cuda as EmbedKernel<f32>>::try_embed(&mut record, &[(&table, &places)]).unwrap();
    let are_nan: Vec<_> = y.as_vec().iter().map(|x| x.is_nan()).collect();
    assert_eq!(are_nan, [false, false, true, true, true, true, false, false]);
    let mut tape = OwnedTape::default();
    record.put_on(&mut tape);
    let gradients = y.put_tape(tape).nans_to(0.0).sum::<Rank0, _>().backward();
    assert_eq!(gradients.get(&table).as_vec(), [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
}

/// Without items there is nothing to do, in either direction.
#[test]
fn no_items_have_no_results() {
    fn run<D: Device<f32>>(dev: &D) {
        let mut record = record::<f32, D>();
        let width = 6;
        let (weight, bias) = (vector(dev, 1, width), vector(dev, 2, width));
        let mut x = tensor(dev, 3, (0, 4, width));
        x = D::try_layer_norm(&mut record, x, &weight, &bias).unwrap();
        let map = matrix(dev, 4, width, width).into();
        x = D::try_linear(&mut record, x, &map, Some(&bias), None).unwrap();
        x = D::try_residual(&mut record, x.clone(), x, 0.5).unwrap();
        let angles = Angles::new(&[0, 1, 2, 3], 4, 2);
        x = D::try_rotate(&mut record, x, Heads::new(3, 2), &angles).unwrap();
        let places = dev.tensor_from_vec(Vec::new(), (0, 4));
        let rows = D::try_embed(&mut record, &[(&matrix(dev, 5, 3, 12), &places)]).unwrap();
        let (heads, mask, attend) = (heads(1, 6, 6), Mask::Causal { offset: 0 }, Attend::default());
        x = D::try_attention(&mut record, x, rows, heads, &mask, attend).unwrap();
        let mean = D::try_mean(&mut record, x).unwrap();
        assert_eq!(*mean.shape(), (0, 1, width));
        let loss = D::try_cross_entropy(&mut record, mean, &[], 0.1).unwrap();
        let mut tape = OwnedTape::default();
        record.put_on(&mut tape);
        assert_eq!(numbers(&loss), [0.0]);
        let gradients = loss.put_tape(tape).backward();
        assert_eq!(numbers(&gradients.get(&bias)), vec![0.0; width]);
    }
    run::<Cuda>(&*gpu());
}

fn cross_entropy<E: Dtype, D: Device<E>>(dev: &D, smoothing: f64) -> Vec<Vec<f64>> {
    let (logits, mut record): (Rows<E, D>, _) = (tensor(dev, 1, (2, 6, 40)), record());
    let targets: Vec<_> = (0..12).map(|i| (i % 5 != 3).then_some((7 * i) % 40)).collect();
    let loss = D::try_cross_entropy(&mut record, logits.clone(), &targets, smoothing).unwrap();
    let found = numbers(&loss);
    let mut tape = OwnedTape::default();
    record.put_on(&mut tape);
    vec![found, numbers(&loss.put_tape(tape).backward().get(&logits))]
}

#[test]
fn losses_agree() {
    agree!("the cross entropy", cross_entropy(0.0));
    agree!("the smoothed cross entropy", cross_entropy(0.3));
}
