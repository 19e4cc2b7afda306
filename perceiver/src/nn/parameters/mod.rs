//! The parameters of a part of a model.
//!
//! A part declares its matrices and vectors once, in [`Part::read`], with their order and names. This determines how it
//! is built, what dfdx visits, and its views, in which each parameter is a field. All parts store their parameters in
//! the same way, as matrices and vectors with run-time dimensions, so dfdx's visitors are compiled for these two shapes
//! and not for each width of each model.

mod entries;
mod module;
mod views;
use self::entries::{Kind, entries};
use self::views::{Muts, Refs};
use crate::ops::{Matrix, Updates, Vector, Weight, WeightPrecision};
use crate::spec::Family;
use dfdx::prelude::*;
use std::fmt;
use std::marker::PhantomData;

/// A part of a model, as a type: what has the parameters of a layer, an input, an output or a single operation.
///
/// A part declares its matrices and vectors once, in [`read`](Self::read), with their order and names. This determines how
/// [`Parameters`] of the part are built and initialised, what dfdx's optimizers and `save` visit, and the view that
/// computations use:
///
/// ```
/// use perceiver::nn::{Init, ParameterSource, Parameters, Part};
/// use perceiver::{dfdx::nn::BuildModule, prelude::*};
///
/// /// A factor for each of four channels.
/// #[derive(Clone, Debug)]
/// struct Scale;
///
/// struct ScaleView<V> {
///     factor: V,
/// }
///
/// impl Part for Scale {
///     type View<M, V> = ScaleView<V>;
///     const PARAMETERS: usize = 4;
///
///     fn read<S: ParameterSource>(source: &mut S) -> ScaleView<S::Vector> {
///         ScaleView { factor: source.vector("factor", 4, Init::Ones) }
///     }
/// }
///
/// let scale = Parameters::<Scale, f32, Cpu>::build(&Cpu::default());
/// assert_eq!(scale.view().factor.as_vec(), [1.0; 4]);
/// ```
pub trait Part: Clone + fmt::Debug + 'static {
    /// The part with an `M` for each matrix and a `V` for each vector.
    type View<M, V>;

    /// The number of trainable parameters.
    const PARAMETERS: usize;

    /// Reads all parameters. It must read the same ones in the same order every time.
    fn read<S: ParameterSource>(source: &mut S) -> Self::View<S::Matrix, S::Vector>;
}

/// A part without parameters.
impl Part for () {
    type View<M, V> = ();
    const PARAMETERS: usize = 0;

    fn read<S: ParameterSource>(_: &mut S) {}
}

/// Where the parameters of a [`Part`] are read from: a list to build, name or borrow them.
pub trait ParameterSource {
    /// What is read for a matrix.
    type Matrix;
    /// What is read for a vector.
    type Vector;

    /// Reads the next parameter, a matrix `(rows, columns)` that is initialised as the weight of a linear layer: uniformly within
    /// ±1/√columns, or as the [family](Self::start_as) does.
    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Self::Matrix;

    /// Reads the next parameter, a matrix `(rows, columns)` that is initialised as latents are: from N(0, 1), or as the
    /// [family](Self::start_as) does. Unless a source initialises parameters, this is [`matrix`](Self::matrix).
    fn embedding(&mut self, name: &str, rows: usize, columns: usize) -> Self::Matrix {
        self.matrix(name, rows, columns)
    }

    /// Reads the next parameter, a vector `(size,)` that is initialised with `start`.
    fn vector(&mut self, name: &str, size: usize, start: Init) -> Self::Vector;

    /// Reads the next buffer, a vector `(size,)` that is saved with the model but not trained. Unless a source initialises
    /// parameters, this is [`vector`](Self::vector).
    fn buffer(&mut self, name: &str, size: usize, start: Init) -> Self::Vector {
        self.vector(name, size, start)
    }

    /// Initialises the parameters that follow as the family does.
    fn start_as(&mut self, _family: Family) {}

    /// Enters the sub-part with this name, which prefixes the names of its parameters; returns the argument for
    /// [`end`](Self::end).
    fn begin(&mut self, _name: fmt::Arguments<'_>) -> usize {
        0
    }

    /// Leaves the sub-part that [`begin`](Self::begin) entered.
    fn end(&mut self, _begun: usize) {}

    /// Reads the sub-part with this name, which prefixes the names of its parameters.
    fn within<R>(&mut self, name: fmt::Arguments<'_>, read: impl FnOnce(&mut Self) -> R) -> R {
        let begun = self.begin(name);
        let result = read(self);
        self.end(begun);
        result
    }
}

/// The initialisation of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// Uniform within ±1/√`fan_in`, as the biases of PyTorch's linear layers; 0 in the family `Transformers`.
    Uniform {
        /// The number of inputs of the linear layer.
        fan_in: usize,
    },
}

/// A parameter of a model.
#[derive(Clone, Debug)]
pub(crate) enum Parameter<E: Dtype, D: Storage<E>> {
    /// `(rows, columns)`.
    Matrix(Weight<E, D>),
    /// `(size,)`.
    Vector(Vector<E, D>),
}

/// The parameters of a [`Part`] `P`, of type `E` on the device `D`: a dfdx module.
///
/// [`view`](Self::view) returns them as fields, here of the first layer of a model:
///
/// ```
/// use perceiver::prelude::*;
///
/// perceiver! {
///     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 2, num_latents: 8, latent_dim: 16 }
/// }
///
/// let mut model = Cpu::default().build_module::<Digits, f32>();
/// let norm = &model.layers.view()[0].latent[0].norm;
/// assert_eq!(norm.weight.as_vec(), [1.0; 16]);
///
/// model.layers.view_mut()[0].latent[0].norm.weight.fill_with_zeros();
/// ```
pub struct Parameters<P, E: Dtype = f32, D: Storage<E> = Cpu> {
    list: Vec<Parameter<E, D>>,
    part: PhantomData<P>,
}

impl<P: Part, E: Dtype, D: Storage<E>> Parameters<P, E, D> {
    /// The number of trainable parameters, known at compile time.
    pub const PARAMETERS: usize = P::PARAMETERS;

    /// Returns the view of the part, with a reference to each parameter.
    pub fn view(&self) -> P::View<&Weight<E, D>, &Vector<E, D>> {
        P::read(&mut Refs(self.list.iter()))
    }

    /// Returns the view of the part, with a mutable reference to each parameter.
    ///
    /// A parameter that is replaced must keep its size, or else the next forward pass is an error. The new tensor must not be
    /// a broadcast or permuted view, which `load_checkpoint` could not fill.
    pub fn view_mut(&mut self) -> P::View<&mut Matrix<E, D>, &mut Vector<E, D>> {
        P::read(&mut Muts(self.list.iter_mut()))
    }
}

impl<P, E: Dtype, D: Storage<E>> Parameters<P, E, D> {
    /// What a weight was rounded to, if one was.
    pub(crate) fn rounded(&self) -> Option<WeightPrecision> {
        self.list.iter().find_map(|parameter| match parameter {
            Parameter::Matrix(weight) => weight.rounded(),
            Parameter::Vector(_) => None,
        })
    }

    /// Gives buffers their next values.
    pub(crate) fn apply(&mut self, updates: Updates<E, D>) {
        for (address, next) in updates {
            for parameter in &mut self.list {
                if let Parameter::Vector(vector) = parameter
                    && std::ptr::from_ref(&*vector).addr() == address
                {
                    *vector = next.clone();
                }
            }
        }
    }
}

impl<P, E: Dtype, D: Storage<E>> Clone for Parameters<P, E, D> {
    fn clone(&self) -> Self {
        Self { list: self.list.clone(), part: PhantomData }
    }
}

impl<P: Part, E: Dtype, D: crate::Device<E>> Parameters<P, E, D> {
    /// From their next use on, also stores weights as the device multiplies with them fastest.
    pub(crate) fn keep_prepared(&self) {
        for parameter in &self.list {
            if let Parameter::Matrix(weight) = parameter {
                D::keep(weight);
            }
        }
    }

    /// Stores weights as the device multiplies with them fastest, in this precision where it can: those whose rows are looked
    /// up too, others only so.
    pub(crate) fn prepare(&mut self, precision: WeightPrecision) {
        for (entry, parameter) in entries::<P>().iter().zip(&mut self.list) {
            match (&entry.kind, parameter) {
                (Kind::Matrix { is_embedding: true, .. }, Parameter::Matrix(weight)) => {
                    D::keep_in(weight, precision);
                }
                (Kind::Matrix { .. }, Parameter::Matrix(weight)) => D::prepare(weight, precision),
                _ => {}
            }
        }
    }
}

impl<P: Part, E: Dtype, D: Storage<E>> fmt::Debug for Parameters<P, E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (entry, parameter) in entries::<P>().iter().zip(&self.list) {
            map.entry(&entry.name, parameter);
        }
        map.finish()
    }
}

/// Parameters are stored in the order in which they are read, since they were created from the same reads.
const ORDER: &str = "a part always reads the same parameters";
