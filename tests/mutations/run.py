"""Breaks the library in many small ways, one at a time, and runs the tests: each break must make one fail.

    python tests/mutations/run.py            # all, about a minute each
    python tests/mutations/run.py dropout    # those whose name contains a word
    python tests/mutations/run.py --list

Runs in a copy in `target/mutations`, which is the target folder too unless `CARGO_TARGET_DIR` is another. A mutation is
text that stands once in a file, and what it becomes. Those that are known to survive say why.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = ROOT / "target" / "mutations"
COPY = TARGET / "copy"
SRC = "perceiver/src/"

# The quick ones first: the first that fails is enough.
TESTS = [
    "test -p perceiver --lib --quiet",
    "test --test model --test parity --test checkpoint --test partial --test dropout --test start --test memory --test masks "
    "--test views --test family --test modalities --test points --test positions --test generate "
    "--test training --test threads --test weights --quiet",
]

# name, file, text, what it becomes, and why it survives if it does
MUTATIONS = [
    # Training.
    ("moments are not restored", "train/optimizer/mod.rs", "slot.moments = moments;", "_ = moments;"),
    ("steps are not restored", "train/optimizer/mod.rs", "self.steps = state.steps;\n        for", "_ = state.steps;\n        for"),
    ("a gradient that is not finite is used", "train/optimizer/mod.rs", "if !sum.is_finite() {", "if sum.is_sign_negative() {"),
    ("vectors decay", "train/optimizer/visit.rs", "if S::NUM_DIMS < 2 && !self.decay_vectors {", "if S::NUM_DIMS < 1 && !self.decay_vectors {"),
    ("gradients are not limited", "train/optimizer/mod.rs", "factor: max_norm.map_or(1.0, |max| (max / (self.norm + 1e-6)).min(1.0)),", "factor: 1.0,"),
    ("factors are not used", "train/optimizer/visit.rs", "step.rate_factor = slot.factor;", "_ = slot.factor;"),
    ("gradients stay after a step", "ops/adam/cpu.rs", "[simd.mul_add_f32s(update, rate, kept), simd.splat_f32s(0.0), first, second]", "[simd.mul_add_f32s(update, rate, kept), gradient, first, second]"),
    ("gradients stay after a step of LAMB", "ops/adam/cpu.rs", "self.update.fill(0.0);", ""),
    ("the second moment is not corrected", "ops/adam/cpu.rs", "(1.0 / second.sqrt()) as f32]", "1.0]"),
    ("an ignored target has a gradient", "ops/cross_entropy/mod.rs", "targets.iter().flatten().count().max(1) as f64", "targets.len().max(1) as f64"),
    ("smoothing has no gradient", "ops/cross_entropy/cpu.rs", "let others = simd.splat_f32s(self.smoothing / self.classes as f32);", "let others = simd.splat_f32s(0.0);"),
    ("targets are not checked", "train/loss.rs", "find(|target| **target >= classes)", "find(|target| **target > classes)"),
    ("every epoch has the same order", "train/batches.rs", "epoch.wrapping_mul(0x9E37_79B9_7F4A_7C15)", "epoch.wrapping_mul(0)"),
    ("parts of batches are the same", "train/batches.rs", "batch[part * len..(part + 1) * len].to_vec()", "_ = part;\n            batch[..len].to_vec()"),
    ("another training is replaced", "train/trainer/mod.rs", "self.ranks.rank() == 0 && path.exists()", "self.ranks.rank() == 0 && !path.exists()"),
    ("gradients of another model step", "train/optimizer/mod.rs", "Ok(self.norm > 0.0 || self.slots.is_empty())", "Ok(true)"),
    ("a loss of NaN trains", "train/trainer/mod.rs", "if !number.is_finite() {", "if false {"),
    ("an epoch begins anew", "train/trainer/mod.rs", "let found = batches.by_ref().take(done).count();", "let found = done;"),
    ("lines after the checkpoint stay", "train/trainer/log.rs", "step <= steps && line.ends_with", "step < u64::MAX && steps < u64::MAX && line.ends_with"),
    ("accumulated gradients are a sum", "train/trainer/mod.rs", "E::from_f64(1.0 / count as f64)", "E::from_f64(1.0 / count.min(1) as f64)"),
    ("the stop flag is not seen", "train/trainer/mod.rs", "if stop != [0.0] {", "if stop == [7.0] {"),
    ("a panic of a helper is lost", "ops/cpu/threads/pool.rs", "            resume_unwind(panic);", "            drop(panic);"),
    ("a caller does not compute", "ops/cpu/threads/pool.rs", "        work();\n        helping.finish();", "        if count == 0 {\n            work();\n        }\n        helping.finish();"),
    ("rows after the first part turn as the first", "ops/rotary/cpu.rs", ".skip(part * rows % table_rows)", ".skip(part * rows % table_rows * 0)"),
    ("the header of a file is not checked first", "checkpoint/files.rs", "if !metadata.is_file() {", "if metadata.is_dir() {"),
    # Rounded weights.
    ("int8 has another scale", "ops/cpu/product/rounded.rs", "largest.max(x.abs())) / 127.0", "largest.max(x.abs())) / 126.0"),
    ("bf16 is cut off", "ops/cpu/product/rounded.rs", "(bits + 0x7fff + ((bits >> 16) & 1)) >> 16", "bits >> 16"),
    ("an excess of bytes is not subtracted", "ops/cpu/product/bytes.rs", "(scale * factor, 128 * sum)", "(scale * factor, 127 * sum)"),
    ("rounded weights are saved", "checkpoint/write.rs", "if let Some(precision) = rounded {", "if let Some(precision) = rounded.filter(|_| false) {"),
    # Behaviour of models.
    ("inverted never reaches the context", "spec/mod.rs", "true => Softmax::inverted(self.inverted[layer]),", "true => Softmax::inverted(self.inverted[layer] && layer > usize::MAX / 2),"),
    ("dropout never reaches the context", "model/forward.rs", "dropout: mode.dropout::<S>().attention,", "dropout: 0.0,"),
    ("self attention never drops", "nn/block.rs", "dropout: dropout.attention,", "dropout: 0.0,"),
    ("feed-forward never drops", "nn/block.rs", "D::try_residual(record, x, branch, dropout)", "_ = dropout;\n        D::try_residual(record, x, branch, 0.0)"),
    ("feed-forward layers drop nothing", "nn/block.rs", "dropout == 0.0 || !record.is_on()", "dropout == 0.0 || record.is_on()"),
    ("forward drops", "model/forward.rs", "let (result, _) = self.run::<B, L, T>(tokens, beside, Mode::Inference)?;", "let (result, _) = self.run::<B, L, T>(tokens, beside, Mode::Training)?;"),
    ("the last layer is left out", "model/encoder.rs", "(0..numbers.depth).map", "(0..numbers.depth - 1).map"),
    ("the first layer is repeated, not the last", "model/encoder.rs", "&layers[i.min(last)]", "&layers[if i > last { 0 } else { i }]"),
    ("one self attention too few", "model/encoder.rs", "for block in &layer.latent {", "for block in layer.latent.iter().skip(1) {"),
    ("three layers are stored of tied ones", "spec/mod.rs", "Self::AllButFirst if depth > 2 => 2,", "Self::AllButFirst if depth > 3 => 3,"),
    ("queries are not normalised", "nn/block.rs", "let query = self.norm.try_forward(record, x.clone())?;", "let query = x.clone();"),
    ("no residual", "ops/residual/mod.rs", "    branch.try_add(x)", "    _ = x;\n    Ok(branch)"),
    ("the residual is dropped, not the branch", "ops/residual/mod.rs", "super::random::dropout(branch, dropout)?", "super::random::dropout(branch.try_add(x.clone())?, dropout)?.try_sub(x.clone())?"),
    ("head dimension and count are exchanged in scores", "spec/block.rs", "(self.dim as f64).powf(-0.5)", "(self.count as f64).powf(-0.5)"),
    # Starts.
    ("weights start ten times too large", "nn/init.rs", "let bound = 1.0 /", "let bound = 10.0 /"),
    ("weights are positive", "nn/init.rs", "Uniform::new_inclusive(-bound, bound)", "Uniform::new_inclusive(0.0, bound)"),
    ("latents start a hundred times too large", "nn/init.rs", "fill(tensor, StandardNormal)", "fill(tensor, StandardNormal.map(|x: f64| 100.0 * x))"),
    ("biases start by the number of outputs", "nn/linear.rs", "fan_in: inputs }", "fan_in: outputs }"),
    ("hidden layers are as wide as values and gates", "nn/feed_forward.rs", "let hidden = mult * dim;", "let hidden = mult * dim * activation.inputs();"),
    ("norms start with zeros", "nn/norm.rs", "Init::Ones", "Init::Zeros"),
    ("norm biases start with ones", "nn/norm.rs", "Init::Zeros", "Init::Ones"),
    ("reset ignores the fan-in", "spec/width.rs", "Self { size, fan_in }\n    }\n\n    /// How many", "Self { size, fan_in: fan_in * 0 + size }\n    }\n\n    /// How many"),
    # Families.
    ("all layers are inverted as the first", "spec/mod.rs", "Softmax::inverted(self.inverted[layer])", "Softmax::inverted(self.inverted[layer * 0])"),
    ("the final norm is left out", "model/forward.rs", "Some(norm) => norm.try_forward(record, latents),", "Some(_) => Ok(latents),"),
    ("latents are no keys", "nn/context.rs", "if attend.queries_as_keys == 0 {", "if attend.queries_as_keys < 9999 {"),
    ("added keys are masked", "ops/mask.rs", ".chain((0..count).map(|_| true))", ".chain((0..count).map(|_| false))"),
    ("queries stay", "nn/block.rs", "self.residual.then_some(&x)", "Some(&x)"),
    ("an output is not scaled", "model/queries.rs", "factor => ops::scale(record, rows, factor),", "_ => Ok(rows),"),
    ("a chunk of queries is left out", "model/queries.rs", "(0..total).step_by(chunk)", "(0..total.min(CHUNK)).step_by(chunk)"),
    ("rows of token queries keep their order", "checkpoint/format.rs", "true if rows.iter().any(|name| ours.ends_with(name)) => Some(Along::Rows),", "true if rows.iter().all(|name| ours.ends_with(name)) => Some(Along::Rows),"),
    ("kernels of convolutions are matrices", "checkpoint/format.rs", "vec![outputs, inputs / (size * size), size, size]", "vec![outputs, inputs]"),
    ("axes of one patch stay", "input/stem.rs", "filter(|(size, patch)| !is_dropped(**size, **patch))", "filter(|_| true)"),
    ("positions of patches are those of pixels", "input/grid.rs", "axes = after;", "drop(after);"),
    ("states are weighed over their width", "ops/over_depth.rs", "x.try_softmax::<Axis<1>>()", "x.try_softmax::<Axis<3>>()"),
    ("depth residuals are not normalised", "nn/residual.rs", "let rows = ops::rms_norm(record, states.clone(), self.norm)?;", "let rows = states.clone();"),
    ("keys of another width than values are split in halves", "checkpoint/format.rs", "(2, Some(&(_, keys))) if keys <= rows => vec![keys, rows - keys],", "(2, Some(_)) if false => vec![rows],"),
    ("cosines before sines in files", "checkpoint/format.rs", "(sines..sines + bands).chain(cosines..cosines + bands)", "(cosines..cosines + bands).chain(sines..sines + bands)"),
    ("saved as loaded", "checkpoint/format.rs", "|(here, there)| (there, here)", "|places| places"),
    ("every layer begins with a cross attention", "model/encoder.rs", "(&layer.cross, context, i < numbers.cross_attends)", "(&layer.cross, context, true || i < numbers.cross_attends)"),
    ("weights of a family start as PyTorch's", "nn/parameters/entries.rs", "self.is_small = family == Family::Transformers;", "_ = family;"),
    ("no bias of values", "ops/context/absorb.rs", "D::try_linear(record, row, &to_kv.clone().into(), kv_bias, None)?", "D::try_linear(record, row, &to_kv.clone().into(), kv_bias.filter(|_| false), None)?"),
    # Several inputs and outputs, points, attention weights.
    ("tokens of one input are masked as those of another", "ops/mask.rs", "mask[item * keys + key]", "mask[(item * keys + key) / 2]"),
    ("a masked class is not replaced", "input/modalities.rs", "Some(token) if rate == 1.0 => {", "Some(token) if rate == 2.0 => {"),
    ("tokens are never replaced at random", "input/modalities.rs", "mode == Mode::Training", "mode != Mode::Training"),
    ("unused parameters have no gradient", "ops/record.rs", "self.add(move |gradients| gradients.try_alloc_for(&tensor));", "drop(tensor);"),
    ("a backward pass of one output stands for all", "ops/record.rs", "None => super::check(gradients.get(&mark).as_vec() == [E::ONE]),", "None => Ok(()),"),
    ("the last position is 1", "position/fourier.rs", "false => -1.0 + 2.0 * i as f64 / size as f64,", "false => spaced(-1.0, 1.0, size, i),"),
    ("points are counted from the first axis", "declare/mod.rs", "along.fold(0, |sum, (place, size)| sum * size + place)", "along.rev().fold(0, |sum, (place, size)| sum * size + place)"),
    ("features of points are exchanged", "ops/context/mod.rs", "features.splice(start..start, row.iter().copied());", "features.extend(row.iter().copied());"),
    ("positions that come with the input are not cleared", "input/grid.rs", "Context::clear(record, &mut positions, mask.clone())?;", ""),
    ("weights of attention are those of the first layer", "model/forward.rs", "weights = found.iter().find(|(found, _)| found == layer);", "weights = found.iter().find(|(_, _)| layer == layer);"),
    ("absorbed queries have another scale", "nn/decoder.rs", "let factor = ((width + 1) as f64).sqrt() * heads.scale();", "let factor = (width as f64).sqrt() * heads.scale();"),
    ("absorbed queries have no bias", "nn/decoder.rs", "let biases = key.try_matmul(bias)?.try_mul(factor)?;", "let biases = key.try_matmul(bias)?.try_mul(E::default())?;"),
    ("folded layers have no bias between them", "nn/decoder.rs", "bias = moved.try_reshape_like(&(outputs,))?.try_add(bias_of(layer)?)?;", "drop(moved);\n            bias = bias_of(layer)?;"),
    ("a batch norm keeps nothing", "nn/parameters/mod.rs", "*vector = next.clone();", "_ = &next;"),
    ("a batch norm has its running statistics in training", "nn/conv_pool.rs", "mode == Mode::Training", "mode != mode"),
    ("pixels of kernels keep their order", "checkpoint/format.rs", "let there = |here| here % channels * pixels + here / channels;", "let there = |here: usize| here + 0 * channels;"),
    ("windows have no edges", "ops/patches.rs", "if y < height && x < width", "if y <= height && x < width"),
    # Masks.
    ("a mask is not passed on", "input/grid.rs", "Ok(Positioned { channels: rows, features: Vec::new(), axes, mask })", "_ = mask;\n        Ok(Positioned { channels: rows, features: Vec::new(), axes, mask: None })"),
    ("masked tokens are not cleared", "nn/context.rs", "*rows = D::try_clear_masked(record, rows.clone(), &mask)?;", ""),
    ("cleared numbers have gradients", "ops/flatten/cpu.rs", "if kept {", "if kept || true {"),
    ("items with nothing to attend to are cleared", "ops/flatten/cpu.rs", "*kept = nothing && x.is_finite();", "*kept = nothing && x.is_finite() && false;"),
    ("an item's mask is that of the first", "ops/attention/cpu.rs", "let bias = &values[item * tokens..][..tokens];", "let bias = &values[item * 0..][..tokens];"),
    ("a causal mask hides the query's own token", "ops/cpu/flash.rs", "let allowed = (query + 1)", "let allowed = query.max(1)"),
    ("causal tiles end early", "ops/cpu/flash.rs", "tokens.start >= offset.saturating_add(queries)", "tokens.start + 1 >= offset.saturating_add(queries)"),
    ("pairs of a query are those of the first", "ops/cpu/flash.rs", "Self::Pairs(bias) => Self::Pairs(bias.rows(queries)),", "Self::Pairs(_) => self,"),
    ("causal queries start over in each block", "ops/cpu/flash.rs", "offset: offset.saturating_add(queries.start) }", "offset }"),
    ("a query with no token has gradients", "ops/cpu/flash.rs", "if !depends_on_query {", "if !depends_on_query && false {"),
    ("channels keep the old reference", "ops/context/separable/wide.rs", "|sum, []| simd.mul_f32s(sum, factor)", "|sum, []| simd.add_f32s(sum, simd.mul_f32s(factor, simd.splat_f32s(0.0)))"),
    ("heads that are narrow attend to channels", "ops/context/separable/mod.rs", "channels <= MAX_CHANNELS\n        || channels.saturating_mul(2)", "channels <= MAX_CHANNELS\n        || channels.saturating_mul(0)"),
    ("uniform planes are masked", "ops/context/separable/planes.rs", "&& !uniform[item]", ""),
    # Checkpoints.
    ("no format: pt", "checkpoint/write.rs", '("format".to_string(), "pt".to_string())', '("layout".to_string(), "pt".to_string())'),
    ("settings are not written", "checkpoint/write.rs", "format.settings.metadata().chain([layout])", "[layout].into_iter()"),
    ("settings are not compared", "checkpoint/settings.rs", "filter(|found| *found != expected)", "filter(|_| false)"),
    ("other grids are never settings", "checkpoint/settings.rs", "if interpolated && key.ends_with(GRID) {", "if key.ends_with(GRID) {"),
    ("settings of something bigger are compared", "checkpoint/read.rs", "if options.prefix.is_empty() {", "{"),
    ("dtypes are not compared", "checkpoint/matching.rs", "if found != E::DTYPE && !(self.options.convert && dtype::is_float(found)) {", "if false {"),
    ("whole numbers are weights", "checkpoint/matching.rs", "!(self.options.convert && dtype::is_float(found))", "!self.options.convert"),
    ("shapes are not compared", "checkpoint/matching.rs", "if grids.is_none() && view.shape() != expected.shape {", "if grids.is_none() && view.shape().len() != expected.shape.len() {"),
    ("tied layers may differ", "checkpoint/matching.rs", "if one.dtype() != view.dtype() || one.data() != view.data() =>", "if false =>"),
    ("unexpected tensors pass", "checkpoint/matching.rs", "in std::mem::take(&mut self.tensors) {", "in std::mem::take(&mut self.tensors).into_iter().skip(100) {"),
    ("tensors that are there twice pass", "checkpoint/matching.rs", "problems.push(Problem::Twice { tensor });", "_ = tensor;"),
    ("a half-matching file is loaded", "checkpoint/read.rs", "let is_enough = options.partial && ", "let is_enough = "),
    ("a file of which nothing matches is loaded", "checkpoint/read.rs", "options.partial && !report.loaded.is_empty()", "options.partial"),
    ("a part is loaded beside rounded weights", "checkpoint/read.rs", "rounded.filter(|_| sources.len() < tensors.len())", "rounded.filter(|_| false)"),
    ("keys are loaded without values", "checkpoint/matching.rs", "if let Some(other) = other {", "if let (Some(other), true) = (other, fitting.is_empty()) {"),
    ("numbers become infinite", "checkpoint/dtype.rs", "(true, false) => Conversion::TooLarge,", "(true, false) => Conversion::Rounded,"),
    ("what is rounded is exact", "checkpoint/dtype.rs", "_ if x == converted || x.is_nan() =>", "_ if true =>"),
    ("another cubic", "checkpoint/interpolate.rs", "const A: f64 = -0.75;", "const A: f64 = -0.5;"),
    ("positions are corners", "checkpoint/interpolate.rs", "(position as f64 + 0.5) * (from as f64 / to as f64) - 0.5", "position as f64 * (from as f64 / to as f64)"),
    ("a given grid is not taken", "checkpoint/matching.rs", "match given.find(positions) {", "match given.find(positions).filter(|_| false) {"),
    ("a prefix is left out of names", "checkpoint/matching.rs", 'format!("{}{name}", self.options.prefix)', "name.to_string()"),
    ("tied layers are saved once", "checkpoint/mod.rs", "(layer..self.all)", "(layer..layer + 1)"),
    ("older names are not read", "checkpoint/layout/perceiver_pytorch.rs", '("layers.{}.1", "layers.{}.cross_ff")', '("layers.{}.9", "layers.{}.cross_ff")'),
    ("a file is written in place", "checkpoint/write.rs", "file.persist(&target).map_err(|error| error.error)?;", "std::fs::write(&target, bytes)?;"),
    ("permissions are lost", "checkpoint/write.rs", "file.as_file().set_permissions(replaced.permissions())?;", "_ = replaced;"),
    ("a link is replaced", "checkpoint/write.rs", "Ok(next) => target = target.parent().unwrap_or(Path::new(\"\")).join(next),", "Ok(_) => return Ok(path.to_path_buf()),"),
    ("thousands are not separated", "summary.rs", "is_multiple_of(3)", "is_multiple_of(4)"),
    # Positions.
    ("cosines before sines", "position/fourier.rs", "angles.clone().map(f64::sin).chain(angles.map(f64::cos))", "angles.clone().map(f64::cos).chain(angles.map(f64::sin))"),
    ("no position beside its features", "position/fourier.rs", ".chain([position])", ".chain([0.0 * position])"),
    ("log bands are linear", "position/fourier.rs", "Some(base) => base.powf(spaced(1.0, highest.log(base), self.bands, band)),", "Some(_) => spaced(1.0, highest, self.bands, band),"),
    ("axes are exchanged", "ops/context/mod.rs", "let before: usize = axes[..axis].iter().product();\n        let after: usize = axes[axis + 1..].iter().product();", "let after: usize = axes[..axis].iter().product();\n        let before: usize = axes[axis + 1..].iter().product();"),
    # Operations.
    ("always absorb", "ops/context/absorb.rs", "if needs_weights || !absorbs(", "if needs_weights || false && !absorbs("),
    ("never absorb", "ops/context/absorb.rs", "if needs_weights || !absorbs(", "if needs_weights || true || !absorbs("),
    ("weights are dropped from where none are made", "ops/context/absorb.rs", "if needs_weights || !absorbs(", "if !absorbs("),
    ("separable although weights are needed", "ops/context/cpu.rs", "if !is_plain || !separable::applies(&tokens) ||", "_ = is_plain;\n        if !separable::applies(&tokens) ||"),
    ("never separable", "ops/context/cpu.rs", "if !is_plain || !separable::applies(&tokens) ||", "if true || !is_plain || !separable::applies(&tokens) ||"),
    ("gradients run in order of merging", "ops/record.rs", "self.0.sort_by_key(|(number, _)| *number);", ""),
    ("gradients run from the first", "ops/record.rs", "while let Some((_, operation)) = self.0.pop() {", "while !self.0.is_empty() {\n            let (_, operation) = self.0.remove(0);"),
    ("a record is on without gradients", "ops/record.rs", "T::OWNS_TAPE.then(Operations::default)", "Some(Operations::default())", "nothing is wrong, but operations are kept until the end: `forward` would take more memory"),
    ("norm of another epsilon", "ops/layer_norm/mod.rs", "f64 = 1e-5;", "f64 = 1e-3;"),
    ("values and gates are exchanged", "ops/feed_forward/cpu.rs", "let (value, gate) = before.split_at(hidden);", "let (gate, value) = before.split_at(hidden);"),
    ("a residual has no gradient", "ops/linear/cpu.rs", "add(gradient(gradients, residual)?, dy);", "_ = gradient(gradients, residual)?;"),
    ("a residual of a feed-forward layer has no gradient", "ops/feed_forward/cpu.rs", "add(gradient(gradients, residual)?, dy);", "_ = gradient(gradients, residual)?;"),
    ("a bias is lost where there is a residual", "ops/linear/cpu.rs", "add_to_rows(&mut y, bias);", "_ = bias;"),
    ("rows that are read twice get one gradient", "ops/embed/cpu.rs", "add(&mut sums[place * width..(place + 1) * width], terms);", "sums[place * width..(place + 1) * width].copy_from_slice(terms);"),
    ("places are not checked", "ops/embed/cpu.rs", "place < table.shape().0.size()", "place <= table.shape().0.size()"),
    ("no bias", "ops/linear/cpu.rs", "bias.map_or(Addend::Nothing, Addend::Row)", "bias.map_or(Addend::Nothing, |_| Addend::Nothing)"),
    ("a bias has half its gradient", "ops/cpu/product/mod.rs", "            *sum += term;", "            *sum += 0.5 * term;"),
    ("views of weights are read as they lie", "ops/linear/cpu.rs", "None => contiguous(record, weight)?,", "None => (**weight).clone(),"),
    ("views of inputs are read as they lie", "ops/cpu/mod.rs", "x.try_contiguous()", "Ok(x)"),
    ("sizes are not checked in linear", "ops/linear/mod.rs", "check(bias_fits && width == inputs.size()", "check((bias_fits || width == inputs.size())"),
    ("sizes are not checked in attention", "ops/attention/mod.rs", "b == key_batch && m > 0 && mask.fits(b, l, m)", "b == key_batch && m > 0"),
    ("inverted weights are not divided by their sum", "ops/attention/mod.rs", "weights.try_div(sums.try_broadcast_like::<_, Axis<3>>(&shape)?)", "_ = shape;\n        drop(sums);\n        Ok(weights)"),
    ("a running maximum is not taken over", "ops/cpu/flash.rs", "*sum_so_far *= factor;", ""),
    ("separable sums are not rescaled", "ops/context/separable/forward.rs", "self.sums.rescale(query, factor);", ""),
    ("the batch of the repeat is one", "nn/context.rs", "    pub fn batch(&self) -> usize {\n        self.batch", "    pub fn batch(&self) -> usize {\n        self.batch.min(1)"),
    ("views are not made whole for every device", "ops/flatten/mod.rs", "    rows(owned(x)?)", "    rows(x)", "right on a CPU; dfdx is wrong on a GPU: tests/cuda/views.rs shows it there"),
    # Perceiver AR.
    ("latents attend to what comes after them", "nn/causal.rs", "let offset = keys - queries;", "let offset = keys;"),
    ("queries are rotated as the first keys", "ops/rotary/mod.rs", "item.iter().skip(skipped).copied()", "item.iter().take(rows).copied()"),
    ("gradients are rotated forwards", "ops/rotary/cpu.rs", "*pair = [first * cos + second * sin, second * cos - first * sin];", "*pair = [first * cos - second * sin, second * cos + first * sin];"),
    ("tokens before the latents are normalised as latents", "nn/causal.rs", "let prefix = norm.try_forward(record, prefix)?;", "let prefix = self.norm.try_forward(record, prefix)?;"),
    ("every self attention is rotated", "model/causal/mod.rs", "angles.as_ref().filter(|_| i < numbers.rotary_layers)", "angles.as_ref()"),
    ("padding is attended to", "nn/causal.rs", "None => Mask::Causal { offset },\n            Some(keys) => Mask::CausalKeys { offset, keys: keys.clone() },", "_ => Mask::Causal { offset },"),
    ("positions count padding", "model/causal/mod.rs", "place.saturating_sub(window.padding[item])", "place"),
    ("the cache grows without end", "model/causal/generate.rs", "D::try_cache(rows, max_latents)", "D::try_cache(rows, max_len)"),
    ("a full cache keeps its oldest", "ops/cache/cpu.rs", "self.start = (self.start + 1) % self.capacity,", "(),"),
    ("flags of a full cache are not those of its places", "ops/cache/cpu.rs", "(place + self.capacity - self.start) % self.capacity", "place"),
    ("cached keys are rotated by one position", "model/causal/generate.rs", "            *position += 1;", "            *position += 0;"),
    ("panels outlive a change of the weight", "ops/weight.rs", "        *self = tensor.into();", "        self.tensor = tensor.into();"),
    ("a prepared model keeps its tensors", "ops/weight.rs", "let Some(tensor) = self.tensor.take() else { return };", "let Some(tensor) = self.tensor.get().cloned() else { return };"),
    ("a tensor made again is transposed", "ops/cpu/product/panels.rs", "*number = row[column];", "*number = row[(column + 1) % panel_width];"),
    ("the second block of steps replaces the first", "ops/cpu/product/kernel.rs", "if first == 0 { self.addend } else { Addend::Existing }", "self.addend"),
    ("short tiles are packed as high ones", "ops/cpu/product/kernel.rs", "            4 => interleave::<4>(tile, rows),\n", ""),
    ("four rows are exchanged when they are packed", "ops/cpu/product/transpose.rs", "transposed([*a, *b, *c, *d])", "transposed([*b, *a, *c, *d])"),
    ("no token before the latents is dropped", "model/causal/mod.rs", "if dropped == 0 {", "if dropped < usize::MAX {"),
    ("a stop token stops all texts", "model/causal/generate.rs", "self.stopped[item] |= self.sampler.stops_at(token);", "self.stopped.fill(self.stopped[item] | self.sampler.stops_at(token));"),
    ("the seed is not used", "model/causal/generate.rs", "StdRng::seed_from_u64(options.seed)", "StdRng::seed_from_u64(0)"),
    ("files lack the frequencies", "checkpoint/format.rs", "rotated: (rotated > 0).then_some(rotated),", "rotated: None,"),
]


def run(command, quiet=True):
    environment = dict(os.environ, CARGO_INCREMENTAL="1")
    environment.setdefault("CARGO_TARGET_DIR", str(TARGET))
    return subprocess.run(["cargo", *command.split()], cwd=COPY, env=environment, capture_output=quiet, text=True)


def copy():
    TARGET.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(COPY, ignore_errors=True)
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for file in files:
        (COPY / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, COPY / file)


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    chosen = [m for m in MUTATIONS if not words or any(word in m[0] for word in words)]
    for name, file, text, *_ in chosen:
        count = (ROOT / SRC / file).read_text().count(text)
        if count != 1:
            sys.exit(f"{name}: the text stands {count} times in {file}")
    if "--list" in sys.argv:
        for name, file, *_ in chosen:
            print(f"{file}: {name}")
        return
    copy()
    for command in TESTS:
        result = run(command)
        if result.returncode:
            sys.exit(f"the tests fail without a mutation:\n{(result.stdout + result.stderr)[-2000:]}")
    survivors = []
    for name, file, text, replacement, *reason in chosen:
        path, start = COPY / SRC / file, time.time()
        original = path.read_text()
        path.write_text(original.replace(text, replacement))
        caught = None
        for command in TESTS:
            result = run(command)
            if result.returncode:
                lines = (result.stdout + result.stderr).splitlines()
                if any(line.startswith("error[") for line in lines):
                    caught = "DOES NOT COMPILE"
                    print(*[line for line in lines if "error" in line][:3], sep="\n")
                    break
                failed = [line.strip() for line in lines if re.fullmatch(r"    [\w:]+", line)]
                caught = failed[0] if failed else "the tests"
                break
        path.write_text(original)
        seconds = time.time() - start
        if caught is None:
            survivors.append(name)
            print(f"SURVIVED {name} ({seconds:.0f} s){': ' + reason[0] if reason else ''}", flush=True)
        else:
            print(f"caught   {name}, by {caught} ({seconds:.0f} s)", flush=True)
    excused = {m[0] for m in chosen if len(m) > 4}
    unexpected = [name for name in survivors if name not in excused]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} caught, {len(survivors) - len(unexpected)} survive with a reason")
    if unexpected:
        sys.exit("survived without a reason: " + "; ".join(unexpected))


main()
