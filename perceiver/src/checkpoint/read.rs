//! Reading a checkpoint.

use std::path::Path;

use dfdx::nn::tensor_collection::TensorCollection;
use dfdx::tensor_ops::Device;
use safetensors::SafeTensors;

use super::files::Files;
use super::matching::matched;
use super::{CheckpointDtype, CheckpointError, Format, LoadOptions, LoadReport};
use super::{each_tensor, fill, layout};
use crate::ops::WeightPrecision;
use crate::train::MOMENTS;

/// Loads a model, whose weights may be `rounded`, from `path`. All tensors are checked before any is changed.
pub(crate) fn load<M: TensorCollection<E, D>, E: CheckpointDtype, D: Device<E>>(
    model: &mut M,
    rounded: Option<WeightPrecision>,
    format: &Format,
    path: &Path,
    options: &LoadOptions,
) -> Result<LoadReport, CheckpointError> {
    let mut tensors = Vec::new();
    each_tensor(model, |tensor| tensors.push((tensor.name, tensor.shape)));
    let files = Files::read(path)?;
    let parsed = files.parse()?;
    let (sources, mut report) = matched::<E>(&tensors, format, options, &parsed);
    // With a prefix, the file is of something bigger.
    if options.prefix.is_empty() {
        report.settings = format.settings.different(&files.metadata(), options.interpolate);
    }
    let is_enough = options.partial && !report.loaded.is_empty();
    if !is_enough && !report.is_complete() {
        return Err(mismatch(&tensors, format, path, options, &parsed, report));
    }
    if let Some(precision) = rounded.filter(|_| sources.len() < tensors.len()) {
        return Err(CheckpointError::RoundedRest { path: path.into(), precision });
    }
    fill(model, |name, shape, _| {
        let mut numbers = sources.get(name)?.numbers();
        let columns = shape.last().copied().unwrap_or_default();
        format.library_order(name, columns, &mut numbers);
        Some(numbers)
    });
    Ok(report)
}

/// The error for files that do not match a model.
fn mismatch(
    model: &[(String, Vec<usize>)],
    format: &Format,
    path: &Path,
    options: &LoadOptions,
    files: &[SafeTensors<'_>],
    mut report: LoadReport,
) -> CheckpointError {
    let names: Vec<&str> = files.iter().flat_map(SafeTensors::names).collect();
    if names.iter().any(|name| name.starts_with(MOMENTS[0])) {
        return CheckpointError::Training { path: path.into() };
    }
    let kind = layout::kind_of(names.iter().filter_map(|name| name.strip_prefix(&*options.prefix)));
    let matched = report.loaded.len();
    let longest =
        model.iter().flat_map(|(ours, _)| format.names(ours)).flatten().max_by_key(String::len);
    let before = |name: &&str| {
        let prefix = name.strip_suffix(longest.as_deref()?)?;
        (prefix.ends_with('.') && prefix != options.prefix).then(|| prefix.to_string())
    };
    let prefix = names.iter().find_map(before).filter(|_| matched == 0);
    CheckpointError::Mismatch {
        path: path.into(),
        kind: kind.filter(|kind| *kind != format.kind()),
        matched,
        prefix,
        settings: std::mem::take(&mut report.settings),
        problems: report.into_problems(),
    }
}
