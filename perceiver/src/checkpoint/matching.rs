//! Which tensors of a file become which of a model.

use std::collections::{BTreeMap, HashMap};

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::dtype::{self, Conversion};
use super::interpolate::Grids;
use super::{CheckpointDtype, Converted, Format, Interpolated, LoadOptions, LoadReport, Problem};

/// What one of the model's tensors is loaded from.
pub(super) struct Source<'file> {
    /// The tensors of the file that hold its rows.
    parts: Vec<TensorView<'file>>,
    /// The grids of its positions, if it is interpolated.
    grids: Option<Grids>,
}

impl Source<'_> {
    /// The numbers, as in files.
    pub fn numbers<E: CheckpointDtype>(&self) -> Vec<E> {
        match &self.grids {
            None => self.parts.iter().flat_map(dtype::read).collect(),
            Some(grids) => {
                let table = self.parts.iter().flat_map(dtype::numbers).collect();
                grids.interpolate(table).into_iter().map(dtype::nearest).collect()
            }
        }
    }
}

/// The tensors of the model that can be loaded, by name, and what can not.
type Matched<'file> = (HashMap<String, Source<'file>>, LoadReport);

/// Matches the tensors of a model, names and shapes, with those of files.
pub(super) fn matched<'file, E: CheckpointDtype>(
    model: &[(String, Vec<usize>)],
    format: &Format,
    options: &LoadOptions,
    files: &'file [SafeTensors<'_>],
) -> Matched<'file> {
    let mut matching = Matching::new(options, files, |name| format.current(name));
    let mut sources = HashMap::new();
    for (ours, shape) in model {
        if let Some(source) = matching.source::<E>(ours, shape, format) {
            sources.insert(ours.clone(), source);
        }
    }
    for counter in model.iter().filter_map(|(ours, _)| format.counter(ours)) {
        matching.tensors.remove(&counter);
    }
    // As long as there are as many as here, they are the same.
    if let Some((name, numbers)) = format.frequencies()
        && let Some([view]) = matching.tensors.get(name).map(Vec::as_slice)
        && view.shape() == [numbers.len()]
    {
        matching.tensors.remove(name);
    }
    (sources, matching.finish())
}

/// The tensors of files, and what was found in them.
pub(crate) struct Matching<'file, 'a> {
    options: &'a LoadOptions,
    /// The tensors of the file that were not taken yet, by their current names without the prefix.
    tensors: BTreeMap<String, Vec<TensorView<'file>>>,
    report: LoadReport,
}

/// What the tensor of a file should be.
pub(crate) struct Expected {
    pub shape: Vec<usize>,
    /// The sizes of the axes of its positions, if it has a row for each.
    pub grid: Option<Vec<usize>>,
}

/// A tensor of the file that fits.
pub(crate) struct Fitting<'file> {
    pub view: TensorView<'file>,
    /// Its names: one for each of the tied layers that the file has.
    names: Vec<String>,
    rounded: bool,
    grids: Option<Grids>,
}

impl<'file, 'a> Matching<'file, 'a> {
    /// Lists the tensors of files whose names have the prefix, by what `current` makes of the rest.
    pub fn new(
        options: &'a LoadOptions,
        files: &'file [SafeTensors<'_>],
        current: impl Fn(&str) -> String,
    ) -> Self {
        let mut tensors = BTreeMap::<_, Vec<_>>::new();
        for (name, view) in files.iter().flat_map(SafeTensors::iter) {
            if let Some(name) = name.strip_prefix(&*options.prefix) {
                tensors.entry(current(name)).or_default().push(view);
            }
        }
        Self { options, tensors, report: LoadReport::default() }
    }

    /// Finds what one of the model's tensors is loaded from: whole, or not at all.
    fn source<E: CheckpointDtype>(
        &mut self,
        ours: &str,
        shape: &[usize],
        format: &Format,
    ) -> Option<Source<'file>> {
        let all_rows = shape.first().copied().unwrap_or_default();
        let tied = format.names(ours);
        let count = tied.first().map_or(0, Vec::len);
        let rows = format.rows(ours, all_rows, count);
        let (mut fitting, mut other) = (Vec::new(), None);
        for part in 0..count {
            let names: Vec<&str> = tied.iter().map(|names| names[part].as_str()).collect();
            let expected = Expected {
                shape: format.shape(ours, rows[part], shape),
                grid: format.grid(ours, all_rows),
            };
            match self.take::<E>(&names, &expected) {
                Some(fits) => fitting.push(fits),
                None => other = Some(self.in_file(names[0])),
            }
        }
        if let Some(other) = other {
            // In a strict load, what is wrong with the other is said.
            let names = fitting.into_iter().flat_map(|fits| fits.names);
            let names = names.filter(|_| self.options.partial);
            let problem = |tensor| Problem::Incomplete { tensor, other: other.clone() };
            self.report.mismatched.extend(names.map(problem));
            return None;
        }
        let grids = fitting.iter().find_map(|fits| fits.grids.clone());
        let parts = fitting.iter().map(|fits| fits.view.clone()).collect();
        fitting.into_iter().for_each(|fits| self.report_loaded::<E>(fits));
        Some(Source { parts, grids })
    }

    /// Removes a tensor from those of the file, under all of its names: one for each tied layer.
    pub fn take<E: CheckpointDtype>(
        &mut self,
        names: &[&str],
        expected: &Expected,
    ) -> Option<Fitting<'file>> {
        let found =
            names.iter().filter_map(|name| self.tensors.remove(*name).map(|views| (*name, views)));
        let found: Vec<_> = found.collect();
        // One of the tied layers is enough: a file may contain shared weights only once.
        let Some((first, view)) =
            found.first().and_then(|(first, views)| Some((*first, views.first()?)))
        else {
            let tensor = self.in_file(names.first().copied().unwrap_or_default());
            let shape = expected.shape.clone();
            self.report.missing.push(Problem::Missing { tensor, dtype: E::DTYPE, shape });
            return None;
        };
        let (mut fitting, mut problems) = (None, Vec::new());
        for (name, views) in &found {
            let tensor = self.in_file(name);
            let [one] = views.as_slice() else {
                problems.push(Problem::Twice { tensor });
                continue;
            };
            match self.fit::<E>(&tensor, one, expected) {
                Err(problem) => problems.push(problem),
                Ok(_) if one.dtype() != view.dtype() || one.data() != view.data() => {
                    problems.push(Problem::Untied { tensor, first: self.in_file(first) });
                }
                Ok(fits) => fitting = Some(fits),
            }
        }
        let fits = fitting.filter(|_| problems.is_empty());
        self.report.mismatched.extend(problems);
        let names = found.iter().map(|(name, _)| self.in_file(name)).collect();
        fits.map(|(rounded, grids)| Fitting { view: view.clone(), names, rounded, grids })
    }

    /// Whether numbers of a tensor are rounded, and how it is interpolated, if it can be loaded.
    fn fit<E: CheckpointDtype>(
        &self,
        tensor: &str,
        view: &TensorView<'_>,
        expected: &Expected,
    ) -> Result<(bool, Option<Grids>), Problem> {
        let found = view.dtype();
        if found != E::DTYPE && !(self.options.convert && dtype::is_float(found)) {
            return Err(Problem::Dtype { tensor: tensor.into(), expected: E::DTYPE, found });
        }
        let grids = self.grids(tensor, view.shape(), expected)?;
        if grids.is_none() && view.shape() != expected.shape {
            return Err(Problem::Shape {
                tensor: tensor.into(),
                expected: expected.shape.clone(),
                found: view.shape().into(),
            });
        }
        if found == E::DTYPE {
            return Ok((false, grids));
        }
        match dtype::conversion::<E>(view) {
            Conversion::TooLarge => {
                Err(Problem::TooLarge { tensor: tensor.into(), expected: E::DTYPE, found })
            }
            conversion => Ok((conversion == Conversion::Rounded, grids)),
        }
    }

    /// The grids of a table of positions that is to be interpolated.
    fn grids(
        &self,
        tensor: &str,
        shape: &[usize],
        expected: &Expected,
    ) -> Result<Option<Grids>, Problem> {
        let (Some(to), &[rows, width], &[expected_rows, expected_width]) =
            (&expected.grid, shape, expected.shape.as_slice())
        else {
            return Ok(None);
        };
        if !self.options.interpolate || width != expected_width || rows == 0 {
            return Ok(None);
        }
        let positions = |grid: &&Vec<usize>| {
            grid.iter().try_fold(1_usize, |product, size| product.checked_mul(*size)) == Some(rows)
        };
        let mut given = self.options.grids.iter().filter(|grid| grid.len() == to.len());
        let from = match given.find(positions) {
            Some(given) => given.clone(),
            None if rows == expected_rows => return Ok(None),
            None => equal_axes(rows, to.len()).ok_or_else(|| Problem::Grid {
                tensor: tensor.into(),
                expected: to.clone(),
                found: rows,
            })?,
        };
        Ok((from != *to).then(|| Grids { from, to: to.clone() }))
    }

    fn report_loaded<E: CheckpointDtype>(&mut self, fits: Fitting<'_>) {
        let Fitting { view, names, rounded, grids } = fits;
        for tensor in names {
            if view.dtype() != E::DTYPE {
                let (tensor, from, to) = (tensor.clone(), view.dtype(), E::DTYPE);
                self.report.converted.push(Converted { tensor, from, to, rounded });
            }
            if let Some(Grids { from, to }) = grids.clone() {
                let tensor = tensor.clone();
                self.report.interpolated.push(Interpolated { tensor, from, to });
            }
            self.report.loaded.push(tensor);
        }
    }

    /// The name in the file of a tensor of this model.
    fn in_file(&self, name: &str) -> String {
        format!("{}{name}", self.options.prefix)
    }

    /// What was loaded, and what is left.
    pub fn finish(mut self) -> LoadReport {
        for (name, views) in std::mem::take(&mut self.tensors) {
            let tensor = self.in_file(&name);
            self.report.unexpected.extend(views.first().map(|view| Problem::Unexpected {
                tensor,
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
            }));
        }
        self.report
    }
}

/// The sizes of so many axes of a grid with this number of positions, if all are the same.
fn equal_axes(positions: usize, axes: usize) -> Option<Vec<usize>> {
    let exponent = u32::try_from(axes).ok().filter(|axes| *axes > 0)?;
    let size = (positions as f64).powf(1.0 / f64::from(exponent)).round() as usize;
    (size.checked_pow(exponent) == Some(positions)).then(|| vec![size; axes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_with_equal_axes_is_known() {
        assert_eq!(equal_axes(7, 1), Some(vec![7]));
        assert_eq!(equal_axes(144, 2), Some(vec![12, 12]));
        assert_eq!(equal_axes(27, 3), Some(vec![3; 3]));
        assert_eq!(equal_axes(1, 4), Some(vec![1; 4]));
        for (positions, axes) in [(143, 2), (145, 2), (9, 3), (1, 0), (usize::MAX, 2)] {
            assert_eq!(equal_axes(positions, axes), None, "{positions} in {axes} axes");
        }
    }
}
