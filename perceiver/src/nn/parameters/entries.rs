//! The list of the parameters of a part, before they are created.

use super::{Init, ParameterSource, Part};
use crate::spec::Family;
use std::fmt;

/// The description of a parameter before it is created.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// The initialisation of a matrix.
#[derive(Clone, Copy)]
pub(super) enum MatrixInit {
    /// Uniformly within ±1/√columns.
    Uniform,
    /// From N(0, 1).
    Normal,
    /// From N(0, 0.02²).
    SmallNormal,
}

pub(super) enum Kind {
    Matrix { rows: usize, columns: usize, start: MatrixInit, is_embedding: bool },
    Vector { size: usize, start: Init, is_buffer: bool },
}

pub(super) fn entries<P: Part>() -> Vec<Entry> {
    let mut list = Entries::default();
    P::read(&mut list);
    list.entries
}

/// Lists the parameters that are read.
#[derive(Default)]
struct Entries {
    prefix: String,
    /// Whether weights start from N(0, 0.02²) and biases from 0.
    is_small: bool,
    entries: Vec<Entry>,
}

impl Entries {
    fn push(&mut self, name: &str, kind: Kind) {
        let name = format!("{}{name}", self.prefix);
        self.entries.push(Entry { name, kind });
    }
}

impl ParameterSource for Entries {
    type Matrix = ();
    type Vector = ();

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) {
        let start = if self.is_small { MatrixInit::SmallNormal } else { MatrixInit::Uniform };
        self.push(name, Kind::Matrix { rows, columns, start, is_embedding: false });
    }

    fn embedding(&mut self, name: &str, rows: usize, columns: usize) {
        let start = if self.is_small { MatrixInit::SmallNormal } else { MatrixInit::Normal };
        self.push(name, Kind::Matrix { rows, columns, start, is_embedding: true });
    }

    fn vector(&mut self, name: &str, size: usize, start: Init) {
        let start = match start {
            Init::Uniform { .. } if self.is_small => Init::Zeros,
            start => start,
        };
        self.push(name, Kind::Vector { size, start, is_buffer: false });
    }

    fn buffer(&mut self, name: &str, size: usize, start: Init) {
        self.push(name, Kind::Vector { size, start, is_buffer: true });
    }

    fn start_as(&mut self, family: Family) {
        self.is_small = family == Family::Transformers;
    }

    fn begin(&mut self, name: fmt::Arguments<'_>) -> usize {
        let outer = self.prefix.len();
        self.prefix += &format!("{name}.");
        outer
    }

    fn end(&mut self, outer: usize) {
        self.prefix.truncate(outer);
    }
}
