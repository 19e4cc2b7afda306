//! The parameters of a part as fields.

use super::{Init, ORDER, Parameter, ParameterSource};
use crate::ops::{Matrix, Vector, Weight};
use dfdx::prelude::*;
use std::slice;

pub(super) struct Refs<'a, E: Dtype, D: Storage<E>>(pub(super) slice::Iter<'a, Parameter<E, D>>);

impl<'a, E: Dtype, D: Storage<E>> ParameterSource for Refs<'a, E, D> {
    type Matrix = &'a Weight<E, D>;
    type Vector = &'a Vector<E, D>;

    fn matrix(&mut self, _: &str, _: usize, _: usize) -> Self::Matrix {
        match self.0.next() {
            Some(Parameter::Matrix(matrix)) => matrix,
            _ => unreachable!("{ORDER}"),
        }
    }

    fn vector(&mut self, _: &str, _: usize, _: Init) -> Self::Vector {
        match self.0.next() {
            Some(Parameter::Vector(vector)) => vector,
            _ => unreachable!("{ORDER}"),
        }
    }
}

pub(super) struct Muts<'a, E: Dtype, D: Storage<E>>(pub(super) slice::IterMut<'a, Parameter<E, D>>);

impl<'a, E: Dtype, D: Storage<E>> ParameterSource for Muts<'a, E, D> {
    type Matrix = &'a mut Matrix<E, D>;
    type Vector = &'a mut Vector<E, D>;

    fn matrix(&mut self, _: &str, _: usize, _: usize) -> Self::Matrix {
        match self.0.next() {
            Some(Parameter::Matrix(matrix)) => matrix.tensor_mut(),
            _ => unreachable!("{ORDER}"),
        }
    }

    fn vector(&mut self, _: &str, _: usize, _: Init) -> Self::Vector {
        match self.0.next() {
            Some(Parameter::Vector(vector)) => vector,
            _ => unreachable!("{ORDER}"),
        }
    }
}
