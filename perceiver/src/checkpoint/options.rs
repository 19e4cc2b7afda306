//! How a checkpoint is loaded.

/// Options of [`load_checkpoint_with`](crate::model::Perceiver::load_checkpoint_with): the differences between the file and
/// the model that it accepts.
///
/// By default there are none, as in [`load_checkpoint`](crate::model::Perceiver::load_checkpoint).
///
/// ```
/// use perceiver::checkpoint::LoadOptions;
///
/// // Loads the backbone of a bigger model in `bf16`, without its head, and converts it to the data type of this model.
/// let options = LoadOptions {
///     prefix: "backbone.".into(),
///     partial: true,
///     convert: true,
///     ..LoadOptions::default()
/// };
/// # _ = options;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The prefix of the names of this model's tensors in the file, including the dot; empty by default.
    ///
    /// It is, for example, `"backbone."` if the model is a part of a bigger one, or `"module."` in a file saved from
    /// PyTorch's `DistributedDataParallel`. Tensors whose names do not begin with it are ignored,
    /// and so are settings in the file.
    pub prefix: String,
    /// Whether to load the tensors that match even if others do not, such as to give a model another head or more layers;
    /// false by default.
    ///
    /// Tensors of the model that are not loaded keep their values, and are listed in the [`LoadReport`](super::LoadReport).
    /// Each tensor is loaded whole or not at all. It is still an error if none matches. Settings that differ, such as
    /// `max_freq`, are listed there, too.
    pub partial: bool,
    /// Whether to convert tensors in `F16`, `BF16`, `F32` or `F64` to the data type of the model; false by default.
    ///
    /// Conversion to a wider type is exact. To a narrower one, each number is rounded to the nearest, and a small one may
    /// become 0; [`Converted::rounded`](super::Converted::rounded) says which tensors have changed. A tensor with a finite
    /// number beyond the range of the narrower type does not match.
    pub convert: bool,
    /// Whether to interpolate learned positions if those in the file are of another length or another grid; false by
    /// default.
    ///
    /// These are the learned positions of `Text` and `Grid`, and the learned queries of a masked language model
    /// (`project: Embedding`), which are one for each position. They are interpolated along each axis, as PyTorch's
    /// `interpolate(.., mode="bicubic", align_corners=False)` does for images. The number of axes and the width of the
    /// positions must be those of the model.
    pub interpolate: bool,
    /// The sizes of the axes of learned positions in the file, such as `vec![vec![14, 10]]`, for
    /// [`interpolate`](Self::interpolate); empty by default.
    ///
    /// A file has the positions of a grid as one list, without these sizes. For each list, the first of these grids is taken
    /// that has as many positions as the list and as many axes as the model's grid. If there is none, a list with as many
    /// positions as the model's grid is taken for that grid, and any other for a square, or a cube.
    pub grids: Vec<Vec<usize>>,
}
