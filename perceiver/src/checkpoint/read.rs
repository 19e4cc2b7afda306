//! Reading a checkpoint.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ::safetensors::SafeTensors;
use ::safetensors::tensor::TensorView;
use dfdx::nn::tensor_collection::{
    RecursiveWalker, TensorCollection, TensorOptions, TensorVisitor, ViewTensorMut, ViewTensorName,
};
use dfdx::prelude::*;

use super::{CheckpointDtype, CheckpointError, Problem, each_tensor, names};

/// Reads a model `depth` layers deep from `path`. All tensors are checked before the first is changed.
pub fn load<M: TensorCollection<E, D>, E: CheckpointDtype, D: Device<E>>(
    model: &mut M,
    depth: usize,
    path: &Path,
) -> Result<(), CheckpointError> {
    let bytes = std::fs::read(path).map_err(|source| CheckpointError::Read {
        path: path.into(),
        source,
    })?;
    let file = SafeTensors::deserialize(&bytes).map_err(|source| CheckpointError::Malformed {
        path: path.into(),
        source,
    })?;
    let mut problems = Vec::new();
    let tensors = matched::<M, E, D>(model, depth, &file, &mut problems);
    if !problems.is_empty() {
        return Err(CheckpointError::Mismatch {
            path: path.into(),
            problems,
        });
    }
    let visited = M::iter_tensors(&mut RecursiveWalker {
        m: (model, String::new()),
        f: &mut Fill(tensors),
    });
    match visited {
        Ok(_) => Ok(()),
        Err(never) => match never {},
    }
}

/// The file's tensor for each tensor of the model, by the model's name.
fn matched<'file, M: TensorCollection<E, D>, E: CheckpointDtype, D: Device<E>>(
    model: &M,
    depth: usize,
    file: &'file SafeTensors,
    problems: &mut Vec<Problem>,
) -> HashMap<String, TensorView<'file>> {
    let mut found = BTreeMap::new();
    for (name, view) in file.iter() {
        let tensor = names::current(name);
        if found.insert(tensor.clone(), view).is_some() {
            problems.push(Problem::Twice { tensor });
        }
    }

    let mut expected = Vec::new();
    each_tensor(model, |name, shape, _: &dyn Fn() -> Vec<E>| {
        expected.push((name, shape))
    });
    let stored = names::stored_layers(expected.iter().map(|(name, _)| name.as_str()));
    let mut matched = HashMap::new();
    for (name, shape) in expected {
        let tied = names::in_file(&name, stored, depth);
        let views: Vec<_> = tied
            .into_iter()
            .filter_map(|tensor| found.remove(&tensor).map(|view| (tensor, view)))
            .collect();
        // Of tied layers one is enough: a file may name shared weights once.
        let Some((first, first_view)) = views.first() else {
            problems.push(Problem::Missing {
                tensor: name,
                dtype: E::DTYPE,
                shape,
            });
            continue;
        };
        for (tensor, view) in &views {
            let tensor = tensor.clone();
            if view.dtype() != E::DTYPE {
                problems.push(Problem::Dtype {
                    tensor,
                    expected: E::DTYPE,
                    found: view.dtype(),
                });
            } else if view.shape() != shape {
                problems.push(Problem::Shape {
                    tensor,
                    expected: shape.clone(),
                    found: view.shape().to_vec(),
                });
            } else if view.data() != first_view.data() {
                problems.push(Problem::Untied {
                    tensor,
                    first: first.clone(),
                });
            }
        }
        matched.insert(name, first_view.clone());
    }
    for (tensor, view) in found {
        problems.push(Problem::Unexpected {
            tensor,
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
        });
    }
    matched
}

/// Copies each tensor of a file into the model's.
struct Fill<'file>(HashMap<String, TensorView<'file>>);

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
        if let Some(view) = self.0.get(&name) {
            tensor.copy_from(&E::read(view.data()));
        }
        Ok(None)
    }
}
