//! A table of a model's parts, shapes and parameters.

use std::fmt;

use dfdx::nn::tensor_collection::TensorCollection;
use dfdx::prelude::{Device, Dtype};

use crate::Cost;
use crate::checkpoint::{each_tensor, part_name};

/// A summary of a model: its parts, the shapes of their tensors and their numbers of parameters, to be printed as a table.
///
/// A declared model's [`summary`](crate::model::Perceiver::summary) returns it, and [`Summary::of`] does for any dfdx
/// module. In the table, equal parts of several layers share a line, with the numbers of the first and the last layer. With
/// a [`Cost`], the table also has the floating-point operations of each line, and ends with the memory that a forward pass
/// needs.
///
/// ```
/// use perceiver::prelude::*;
///
/// perceiver! {
///     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 2, num_latents: 16, latent_dim: 32 }
/// }
///
/// let summary = Cpu::default().build_module::<Digits, f32>().summary();
/// assert_eq!(summary.parameters(), Digits::PARAMETERS);
/// println!("{summary}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The name of the model.
    pub name: String,
    /// The parts of the model, in the order of its tensors.
    pub parts: Vec<Part>,
    /// The cost of a forward pass, if it is to be shown. A declared model's `summary` has that of one input if all sizes of
    /// the input are declared.
    pub cost: Option<Cost>,
}

/// A part of a model in a [`Summary`]: a block of a layer, the latents or the head.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// The name of the part, such as `layers.0.cross_attn`.
    pub name: String,
    /// The trainable tensors of the part: the name of each within the part, and its shape.
    pub tensors: Vec<(String, Vec<usize>)>,
}

impl Part {
    /// Returns the number of trainable parameters of this part.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let sizes = self.tensors.iter();
        sizes.map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }
}

impl Summary {
    /// Returns the summary of the trainable tensors of any dfdx module. `name` is that of the model in the last line of the
    /// table.
    pub fn of<M: TensorCollection<E, D>, E: Dtype, D: Device<E>>(name: &str, model: &M) -> Self {
        let mut tensors = Vec::new();
        each_tensor(model, |tensor| {
            if tensor.is_trained {
                tensors.push((tensor.name, tensor.shape));
            }
        });
        Self::of_tensors(name, tensors)
    }

    fn of_tensors(name: &str, tensors: Vec<(String, Vec<usize>)>) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for (name, shape) in tensors {
            let name = part_name(&name);
            let (part, tensor) = split(&name);
            match parts.last_mut().filter(|last| last.name == part) {
                Some(last) => last.tensors.push((tensor, shape)),
                None => parts.push(Part { name: part, tensors: vec![(tensor, shape)] }),
            }
        }
        Self { name: name.into(), parts, cost: None }
    }

    /// Adds the cost of a forward pass to the summary. A declared model's `cost` returns it for a batch of inputs of some
    /// size.
    ///
    /// ```
    /// use perceiver::prelude::*;
    ///
    /// perceiver! {
    ///     struct Digits { input_channels: 1, num_freq_bands: 4, max_freq: 8.0, depth: 2, num_latents: 16, latent_dim: 32 }
    /// }
    ///
    /// let model = Cpu::default().build_module::<Digits, f32>();
    /// let summary = model.summary().with_cost(Digits::cost(1, [8, 8]));
    /// assert_eq!(summary.to_string().lines().next().unwrap().split_whitespace().last(), Some("FLOPs"));
    /// ```
    #[must_use]
    pub fn with_cost(self, cost: Cost) -> Self {
        Self { cost: Some(cost), ..self }
    }

    /// Returns the number of trainable parameters of the whole model.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.parts.iter().map(Part::parameters).sum()
    }
}

/// Splits the name of a tensor: `layers.0.cross_attn.fn.to_q.weight` is `to_q.weight` of `layers.0.cross_attn`.
fn split(name: &str) -> (String, String) {
    let end = match name.split('.').next() {
        Some("input" | "output") => name.find('.'),
        Some("attn_residuals") => name.match_indices('.').nth(1).map(|(end, _)| end),
        _ => [".fn.", ".norm", "."].iter().find_map(|mark| name.find(mark)),
    };
    let (part, tensor) = name.split_at(end.unwrap_or(0));
    if part.is_empty() {
        return (tensor.into(), tensor.into());
    }
    let tensor = tensor.strip_prefix(".fn").unwrap_or(tensor);
    (part.into(), tensor.trim_start_matches('.').into())
}

/// A line of the printed table: a part, or equal parts of several layers.
struct Line<'a> {
    /// The numbers of the first and the last layer, if the part is in a layer.
    layers: Option<(&'a str, &'a str)>,
    /// The part's name within its layer.
    name: &'a str,
    part: &'a Part,
    count: usize,
    /// The floating-point operations of all equal parts.
    flops: u64,
}

impl Summary {
    fn lines(&self) -> Vec<Line<'_>> {
        let mut lines: Vec<Line> = Vec::new();
        for part in &self.parts {
            let flops = self.cost.map_or(0, |cost| cost.flops_of(&part.name));
            let in_layer = part.name.strip_prefix("layers.");
            let in_layer = in_layer.and_then(|rest| rest.split_once('.'));
            let (number, name) = in_layer.unzip();
            let name = name.unwrap_or(&part.name);
            let equal = |line: &&mut Line| {
                line.layers.is_some() == number.is_some()
                    && line.name == name
                    && line.part.tensors == part.tensors
            };
            match (lines.iter_mut().find(equal), number) {
                (Some(line), Some(number)) => {
                    line.count += 1;
                    line.flops += flops;
                    line.layers = line.layers.map(|(first, _)| (first, number));
                }
                _ => lines.push(Line {
                    layers: number.map(|number| (number, number)),
                    name,
                    part,
                    count: 1,
                    flops,
                }),
            }
        }
        lines
    }
}

impl Line<'_> {
    fn label(&self) -> String {
        match self.layers {
            None => self.name.into(),
            Some((first, last)) if first == last => format!("layers.{first}.{}", self.name),
            Some((first, last)) => format!("layers.{first}-{last}.{}", self.name),
        }
    }

    /// The shapes of the part's matrices; vectors are omitted.
    fn shapes(&self) -> String {
        let matrices = self.part.tensors.iter().filter(|(_, shape)| shape.len() > 1);
        let shapes = matrices.map(|(name, shape)| {
            let name = name.strip_suffix(".weight").unwrap_or(name);
            format!("{name} {shape:?}")
        });
        shapes.collect::<Vec<_>>().join(", ")
    }

    fn parameters(&self) -> String {
        let parameters = thousands(self.part.parameters());
        match self.count {
            1 => parameters,
            count => format!("{count} × {parameters}"),
        }
    }
}

/// `45187140` as `45,187,140`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `406115254272` as `406.1 G`: three digits or four, with a decimal prefix.
fn prefixed(number: u64) -> String {
    const PREFIXES: [&str; 7] = ["", " k", " M", " G", " T", " P", " E"];
    let (mut scaled, mut prefix) = (number as f64, 0);
    while scaled >= 999.95 && prefix + 1 < PREFIXES.len() {
        scaled /= 1000.0;
        prefix += 1;
    }
    match prefix {
        0 => number.to_string(),
        _ => format!("{scaled:.1}{}", PREFIXES[prefix]),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["part", "shape", "parameters", "FLOPs"].map(String::from)];
        rows.extend(self.lines().iter().map(|line| {
            let flops = if line.flops == 0 { String::new() } else { prefixed(line.flops) };
            [line.label(), line.shapes(), line.parameters(), flops]
        }));
        let flops = self.cost.map_or_else(String::new, |cost| prefixed(cost.flops()));
        rows.push([self.name.clone(), String::new(), thousands(self.parameters()), flops]);
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: [usize; 4] = std::array::from_fn(|column| width(column).unwrap_or(0));
        let [w0, w1, w2, w3] = widths;
        let flops_width = if self.cost.is_some() { w3 + 2 } else { 0 };
        let rule = "-".repeat(w0 + w1 + w2 + 4 + flops_width);
        for (i, [part, shape, parameters, flops]) in rows.iter().enumerate() {
            if i == 1 || i == rows.len() - 1 {
                writeln!(f, "{rule}")?;
            }
            write!(f, "{part:w0$}  {shape:w1$}  {parameters:>w2$}")?;
            if self.cost.is_some() {
                write!(f, "{flops:>flops_width$}")?;
            }
            if i < rows.len() - 1 {
                writeln!(f)?;
            }
        }
        match self.cost {
            Some(cost) => {
                write!(f, "\nmemory of a forward pass: {}B", prefixed(cost.forward_memory()))
            }
            None => Ok(()),
        }
    }
}
