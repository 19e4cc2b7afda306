//! The parameters that the training starts from.

use std::f32::consts::PI;

use perceiver::nn::AttentionView;
use perceiver::ops::{Matrix, Vector};
use perceiver::prelude::*;

use crate::{DIM, LEN, Model};

/// Makes each latent start at a place in the text and attend to the bytes there, and each query to the latents there.
///
/// With random parameters, latents start as about the mean of all bytes, and training is long before they tell bytes apart.
pub fn at_places(model: &mut Model) {
    sinusoids(model.input.view_mut().positions);
    sinusoids(&mut model.latents);
    let layers = model.layers.view_mut();
    for cross in layers.into_iter().filter_map(|layer| layer.cross) {
        align(cross.attention);
    }
    let output = model.output.view_mut();
    align(output.block.attention);
    if let Some(queries) = output.query {
        sinusoids(queries);
    }
}

/// Fills rows, whose places are spread over a window, with sines and cosines of their places (Vaswani et al. 2017). Rows that
/// are wider than others repeat them.
fn sinusoids<N: Dim, C: Dim>(rows: &mut Tensor<(N, C), f32, AutoDevice>) {
    let (count, width) = (rows.shape().0.size(), rows.shape().1.size());
    let number = |i: usize| {
        let place = (0.5 + (i / width) as f32) * LEN as f32 / count as f32;
        // Periods from four bytes to two windows.
        let step = (i % DIM / 2) as f32 / (DIM / 2 - 1) as f32;
        let angle = place * PI / 2.0 * (LEN as f32 / 2.0).powf(-step);
        if i.is_multiple_of(2) { angle.sin() } else { angle.cos() }
    };
    rows.copy_from(&(0..count * width).map(number).collect::<Vec<_>>());
}

/// Makes the projection of queries and that of keys the same, so that equal places match, and the attention to them sharp.
fn align(attention: AttentionView<&mut Matrix<f32, AutoDevice>, &mut Vector<f32, AutoDevice>>) {
    let [to_q, to_kv] = [attention.to_q.weight, attention.to_kv.weight];
    let [query, context] = [to_q.shape().1.size(), to_kv.shape().1.size()];
    let (mut queries, mut keys_values) = (to_q.as_vec(), to_kv.as_vec());
    for (queries, keys) in queries.chunks_mut(query).zip(keys_values.chunks_mut(context)) {
        if query < context {
            keys.copy_from_slice(&queries.repeat(context / query));
        } else {
            queries.copy_from_slice(&keys.repeat(query / context));
        }
        queries.iter_mut().for_each(|weight| *weight *= 2.0);
    }
    to_q.copy_from(&queries);
    to_kv.copy_from(&keys_values);
}
