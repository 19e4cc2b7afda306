//! Parameters as dfdx's module: how they are built and visited.

use super::entries::{Entry, Kind, MatrixInit, entries};
use super::{Init, ORDER, Parameter, Parameters, Part};
use crate::nn::init;
use crate::ops::{Matrix, Vector};
use crate::spec::Width;
use dfdx::nn::tensor_collection::{ModuleFields, ModuleVisitor, TensorCollection, TensorOptions};
use dfdx::prelude::*;
use std::marker::PhantomData;

impl<P, E: Dtype, D: Storage<E>> NonMutableModule for Parameters<P, E, D> {}

impl<P: Part, E: Dtype, D: Storage<E>, E2: Dtype, D2: Device<E2>> BuildOnDevice<D2, E2>
    for Parameters<P, E, D>
{
    type Built = Parameters<P, E2, D2>;
}

impl<P: Part, E: Dtype, D: Device<E>> TensorCollection<E, D> for Parameters<P, E, D> {
    type To<E2: Dtype, D2: Device<E2>> = Parameters<P, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        let entries = entries::<P>();
        let fields: Vec<_> =
            entries.iter().enumerate().map(|(index, entry)| Field { index, entry }).collect();
        visitor.visit_fields(fields, |list| Parameters { list, part: PhantomData })
    }
}

/// One parameter, as dfdx visits it.
struct Field<'a> {
    index: usize,
    entry: &'a Entry,
}

impl<P: Part, E: Dtype, D: Device<E>> ModuleFields<Parameters<P, E, D>, E, D> for Field<'_> {
    type Options<E2: Dtype, D2: Device<E2>> = Option<Parameter<E2, D2>>;
    type Output<E2: Dtype, D2: Device<E2>> = Parameter<E2, D2>;

    fn visit_fields<V: ModuleVisitor<Parameters<P, E, D>, E, D>>(
        self,
        visitor: &mut V,
    ) -> Result<Option<Parameter<V::E2, V::D2>>, V::Err> {
        let Self { index, entry } = self;
        match entry.kind {
            Kind::Matrix { rows, columns, start, .. } => {
                let reset: fn(&mut _) -> _ = match start {
                    MatrixInit::Uniform => init::uniform_matrix,
                    MatrixInit::Normal => init::normal,
                    MatrixInit::SmallNormal => init::small_normal,
                };
                let mut options = TensorOptions::reset_with(reset);
                options.shape = (Width::new(rows), Width::new(columns));
                let made = visitor.visit_tensor(
                    &entry.name,
                    |module| module.list[index].matrix(),
                    |module| module.list[index].matrix_mut(),
                    options,
                )?;
                Ok(made.map(|made| Parameter::Matrix(made.into())))
            }
            Kind::Vector { size, start, is_buffer } => {
                let (reset, fan_in): (fn(&mut _) -> _, _) = match start {
                    Init::Zeros => (init::zeros, size),
                    Init::Ones => (init::ones, size),
                    Init::Uniform { fan_in } => (init::uniform_vector, fan_in),
                };
                let mut options = match is_buffer {
                    true => TensorOptions::detached(reset),
                    false => TensorOptions::reset_with(reset),
                };
                options.shape = (Width::of_sums(size, fan_in),);
                let made = visitor.visit_tensor(
                    &entry.name,
                    |module| module.list[index].vector(),
                    |module| module.list[index].vector_mut(),
                    options,
                )?;
                Ok(made.map(Parameter::Vector))
            }
        }
    }

    fn handle_options<E2: Dtype, D2: Device<E2>>(
        options: Option<Parameter<E2, D2>>,
    ) -> Option<Parameter<E2, D2>> {
        options
    }
}

impl<E: Dtype, D: Storage<E>> Parameter<E, D> {
    fn matrix(&self) -> &Matrix<E, D> {
        match self {
            Self::Matrix(matrix) => matrix,
            Self::Vector(_) => unreachable!("{ORDER}"),
        }
    }

    fn matrix_mut(&mut self) -> &mut Matrix<E, D> {
        match self {
            Self::Matrix(matrix) => matrix.tensor_mut(),
            Self::Vector(_) => unreachable!("{ORDER}"),
        }
    }

    fn vector(&self) -> &Vector<E, D> {
        match self {
            Self::Vector(vector) => vector,
            Self::Matrix(_) => unreachable!("{ORDER}"),
        }
    }

    fn vector_mut(&mut self) -> &mut Vector<E, D> {
        match self {
            Self::Vector(vector) => vector,
            Self::Matrix(_) => unreachable!("{ORDER}"),
        }
    }
}
