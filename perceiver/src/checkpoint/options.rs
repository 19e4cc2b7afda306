//! How a checkpoint is loaded.

/// What [`load_checkpoint_with`](crate::model::Perceiver::load_checkpoint_with) may do beside loading a checkpoint that is
/// exactly the model's. By default it is as strict as [`load_checkpoint`](crate::model::Perceiver::load_checkpoint).
///
/// ```
/// use perceiver::checkpoint::LoadOptions;
///
/// // A classifier in `bf16`, which is a part of a bigger model: all but its head, in the type of the model.
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
    /// What the names of this model's tensors begin with in the file, dot included, such as `"backbone."` where the model
    /// is a part of a bigger one, or `"module."` after PyTorch's `DistributedDataParallel`. Tensors with other names are
    /// ignored. Empty by default.
    pub prefix: String,
    /// Whether the tensors that match are loaded even if others do not: to give a model another head, or more layers. What
    /// is not loaded stays as it is, and is listed in the [`LoadReport`](super::LoadReport). Each tensor of the model is
    /// loaded whole or not at all. It is still an error if none matches.
    pub partial: bool,
    /// Whether `F16`, `BF16`, `F32` and `F64` are converted to the data type of the model.
    ///
    /// A wider type has the same numbers. In a narrower one, each becomes the nearest number of that type, and those near 0
    /// may become 0; [`Converted::rounded`](super::Converted::rounded) says where any has changed. A tensor that has a finite
    /// number beyond the range of the narrower type does not match.
    pub convert: bool,
    /// Whether learned positions are interpolated if the file has those of another length or of another grid.
    ///
    /// These are the learned positions of `Text` and `Grid`, and the learned queries of a masked language model
    /// (`project: Embedding`), of which there is one for each position. They are interpolated along each axis as PyTorch's
    /// `interpolate(.., mode="bicubic", align_corners=False)` does for images. The number of axes and the width of a row must be
    /// those of the model.
    pub interpolate: bool,
    /// With `interpolate`: the sizes of the axes of learned positions in the file, such as `vec![vec![14, 10]]`.
    ///
    /// A file has the positions of a grid in one list, without these sizes. A list belongs to the first of the given grids that
    /// has as many positions, and as many axes as the model's. A list to which none belongs is taken for a square, or a cube;
    /// if it has as many positions as the model, for the model's own grid.
    pub grids: Vec<Vec<usize>>,
}
