//! Reading a checkpoint.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ::safetensors::SafeTensors;
use ::safetensors::tensor::{Dtype, TensorView};
use dfdx::nn::tensor_collection::{
    RecursiveWalker, TensorCollection, TensorOptions, TensorVisitor, ViewTensorMut, ViewTensorName,
};
use dfdx::prelude::{Device, HasShape, Shape, Tensor};

use super::files::Files;
use super::{CheckpointDtype, CheckpointError, Format, Problem, each_tensor, layout};

/// Loads a model from `path`. All tensors are checked before any is changed.
pub(crate) fn load<M: TensorCollection<E, D>, E: CheckpointDtype, D: Device<E>>(
    model: &mut M,
    format: &Format,
    path: &Path,
) -> Result<(), CheckpointError> {
    let mut expected = Vec::new();
    each_tensor(model, |name, shape, _, _: &dyn Fn() -> Vec<E>| {
        expected.push((name, shape));
    });
    let files = Files::read(path)?;
    let files = files.parse()?;
    let (tensors, problems) = matched(expected, E::DTYPE, format, &files);
    if !problems.is_empty() {
        let kind = layout::kind_of(files.iter().flat_map(SafeTensors::names));
        let kind = kind.filter(|kind| *kind != format.kind());
        return Err(CheckpointError::Mismatch { path: path.into(), kind, problems });
    }
    let visited = M::iter_tensors(&mut RecursiveWalker {
        m: (model, String::new()),
        f: &mut Fill(tensors, format),
    });
    match visited {
        Ok(_) => Ok(()),
        Err(never) => match never {},
    }
}

/// For each tensor of the model, by name, the tensors in the file that hold its rows; and all problems found.
type Matched<'file> = (HashMap<String, Vec<TensorView<'file>>>, Vec<Problem>);

fn matched<'file>(
    expected: Vec<(String, Vec<usize>)>,
    dtype: Dtype,
    format: &Format,
    files: &'file [SafeTensors<'_>],
) -> Matched<'file> {
    let mut problems = Vec::new();
    let mut found = BTreeMap::new();
    for (name, view) in files.iter().flat_map(SafeTensors::iter) {
        let tensor = format.current(name);
        if found.insert(tensor.clone(), view).is_some() {
            problems.push(Problem::Twice { tensor });
        }
    }
    let mut tensors = HashMap::new();
    for (name, shape) in expected {
        let tied = format.names(&name);
        let parts = tied.first().map_or(0, Vec::len);
        let rows = format.rows(&name, shape.first().copied().unwrap_or_default(), parts);
        let views = (0..parts).filter_map(|part| {
            let shape = format.shape(&name, rows[part], &shape);
            let names: Vec<&str> = tied.iter().map(|names| names[part].as_str()).collect();
            take(&mut found, &names, &shape, dtype, &mut problems)
        });
        let views = views.collect();
        tensors.insert(name, views);
    }
    for counter in tensors.keys().filter_map(|name| format.counter(name)) {
        found.remove(&counter);
    }
    // As long as there are as many as here, they are the same.
    if let Some((name, numbers)) = format.frequencies()
        && found.get(name).is_some_and(|view| view.shape() == [numbers.len()])
    {
        found.remove(name);
    }
    for (tensor, view) in found {
        problems.push(Problem::Unexpected {
            tensor,
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
        });
    }
    (tensors, problems)
}

/// Removes a tensor from those found in the file, under all of its names: one for each tied layer.
fn take<'file>(
    found: &mut BTreeMap<String, TensorView<'file>>,
    names: &[&str],
    shape: &[usize],
    dtype: Dtype,
    problems: &mut Vec<Problem>,
) -> Option<TensorView<'file>> {
    let views: Vec<_> = names
        .iter()
        .filter_map(|&tensor| found.remove(tensor).map(|view| (tensor.to_string(), view)))
        .collect();
    // One of the tied layers is enough: a file may contain shared weights only once.
    let Some((first, first_view)) = views.first() else {
        problems.push(Problem::Missing {
            tensor: names.first().copied().unwrap_or_default().into(),
            dtype,
            shape: shape.into(),
        });
        return None;
    };
    for (tensor, view) in &views {
        let tensor = tensor.clone();
        if view.dtype() != dtype {
            problems.push(Problem::Dtype { tensor, expected: dtype, found: view.dtype() });
        } else if view.shape() != shape {
            problems.push(Problem::Shape {
                tensor,
                expected: shape.into(),
                found: view.shape().to_vec(),
            });
        } else if view.data() != first_view.data() {
            problems.push(Problem::Untied { tensor, first: first.clone() });
        }
    }
    Some(first_view.clone())
}

/// Copies the tensors of a file into those of a model.
struct Fill<'file>(HashMap<String, Vec<TensorView<'file>>>, &'file Format);

impl<E: CheckpointDtype, D: Device<E>> TensorVisitor<E, D> for Fill<'_> {
    type Viewer = (ViewTensorMut, ViewTensorName);
    type Err = std::convert::Infallible;
    type E2 = E;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        _: TensorOptions<S, E, D>,
        (tensor, name): (&mut Tensor<S, E, D>, String),
    ) -> Result<Option<Tensor<S, E, D>>, Self::Err> {
        if let Some(views) = self.0.get(&name) {
            let mut numbers: Vec<E> = views.iter().flat_map(|view| E::read(view.data())).collect();
            let shape: Vec<usize> = tensor.shape().concrete().into();
            let columns = shape.last().copied().unwrap_or_default();
            self.1.library_order(&name, columns, &mut numbers);
            tensor.copy_from(&numbers);
        }
        Ok(None)
    }
}
