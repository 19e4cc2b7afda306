//! From an input to the tokens that are attended to.

use super::{Plan, Replay, each, size};
use crate::input::{GridSpec, Modality, ModalityInput, Stem, TextSpec, stem};
use crate::model::OutputKind;
use crate::nn::conv_pool;
use crate::ops::context::separable::{self, MAX_CHANNELS, forward, planes, wide};
use crate::position::Position;
use crate::spec::Softmax;

/// A batch of inputs.
pub(super) struct Inputs<'a> {
    pub batch: usize,
    /// The sizes of the axes of each.
    pub axes: &'a [&'a [usize]],
    /// The number of tokens of each item.
    pub count: usize,
}

/// Rows of a batch.
#[derive(Clone, Copy)]
struct Rows {
    /// The rows of all items.
    count: usize,
    width: usize,
    /// Whether nothing else refers to them, such as the caller's input.
    is_own: bool,
}

impl Rows {
    const fn size(self) -> usize {
        size(self.count, self.width, 1)
    }
}

impl Plan {
    /// Whether tokens are stored as channels and features apart.
    pub(super) const fn is_separable(&self) -> bool {
        let channels = self.grid.token_channels();
        self.can_be_separable() && separable::is_better(channels, self.numbers.cross.heads)
    }

    const fn can_be_separable(&self) -> bool {
        self.modalities.is_empty()
            && self.text.is_none()
            && !self.numbers.queries_contribute_kv
            && matches!(self.grid.position, Position::Fourier(_))
            && self.grid.token_axes() >= 2
            && self.grid.token_channels() >= 1
    }

    const fn keeps_tokens(&self) -> bool {
        matches!(self.output, OutputKind::Queries { takes_tokens: true, .. })
    }
}

impl Replay {
    /// Prepares the tokens for each way in which they are attended to.
    pub(super) const fn prepare(&mut self, plan: &Plan, inputs: &Inputs<'_>) {
        let n = &plan.numbers;
        let (mut layer, mut prepared) = (0, [false; 2]);
        while layer < n.cross_attends {
            let softmax = n.softmax_of(layer);
            let index = matches!(softmax, Softmax::Queries) as usize;
            if !prepared[index] {
                prepared[index] = true;
                self.context(plan, inputs, matches!(softmax, Softmax::Tokens));
            }
            layer += 1;
        }
    }

    const fn context(&mut self, plan: &Plan, inputs: &Inputs<'_>, is_plain: bool) {
        let Inputs { batch, axes, count } = *inputs;
        let all = size(batch, count, 1);
        let mut rows = if !plan.modalities.is_empty() {
            self.modalities(plan, inputs)
        } else if let Some(text) = &plan.text {
            self.text(all, text)
        } else if let [axes] = axes {
            self.grid(&plan.grid, batch, axes)
        } else {
            return;
        };
        // Tokens with many channels are stored when it is known which heads attend to them, and kept beside that.
        let is_wide = plan.can_be_separable() && is_plain && rows.width > MAX_CHANNELS;
        rows.is_own = rows.is_own && !plan.keeps_tokens() && !is_wide;
        let (sizes, axes) = match axes {
            [axes] if plan.modalities.is_empty() => {
                stem::sizes(plan.grid.stem, plan.grid.sizes(axes))
            }
            _ => ([1; 4], 0),
        };
        if plan.is_separable() && is_plain {
            return self.separable(plan, rows, batch, sizes.split_at(axes).0);
        }
        if let (Position::Fourier(fourier), true) = (plan.grid.position, plan.modalities.is_empty())
        {
            // The table of each axis, in f64 for as long as all, and in f32.
            let (mut axis, mut along) = (0, 0_usize);
            while axis < axes {
                along = along.saturating_add(sizes[axis]);
                axis += 1;
            }
            let tables = size(along, fourier.width(), 8);
            self.bytes(tables);
            axis = 0;
            while axis < axes {
                let features = size(count.saturating_add(sizes[axis]), fourier.width(), 1);
                self.tensor(features);
                rows = self.widened(rows, fourier.width());
                self.drop_tensor(features);
                axis += 1;
            }
            if !plan.keeps_tokens() {
                self.free_bytes(tables);
            }
        }
        if plan.numbers.queries_contribute_kv {
            return;
        }
        self.normalize(rows);
    }

    /// Divides rows by their deviation, in place unless they are shared.
    const fn normalize(&mut self, rows: Rows) {
        if !rows.is_own {
            self.tensor(rows.size());
        }
        self.briefly(rows.size().saturating_add(rows.count.saturating_mul(2)));
    }

    /// Stores channels, and what the features of each axis come to.
    const fn separable(&mut self, plan: &Plan, rows: Rows, batch: usize, axes: &[usize]) {
        let Position::Fourier(fourier) = plan.grid.position else {
            return;
        };
        let (mut axis, mut outer, mut along) = (0, batch, 0_usize);
        while axis < axes.len() {
            // In f64, then in f32.
            self.bytes(size(axes[axis], fourier.width(), 8 + 4));
            along = along.saturating_add(padded(axes[axis]));
            if axis + 1 < axes.len() {
                outer = outer.saturating_mul(axes[axis]);
            } else {
                let columns = padded(axes[axis]);
                self.tensor(size(outer, columns, planes::FIXED + rows.width));
            }
            axis += 1;
        }
        // The tables and sums of the queries that each thread processes at once, and with many channels their tile.
        if rows.width > MAX_CHANNELS {
            self.tensor(size(2, wide::QUERIES, wide::TOKENS));
            self.tensor(size(2 * 2, wide::QUERIES, along));
        } else {
            self.tensor(size(2 * 2, forward::QUERIES, along));
        }
        // Buffers of many sizes, which are not replayed one by one.
        self.tensor(rows.size() / 3);
    }

    /// Appends as many channels, which are dropped.
    const fn widened(&mut self, rows: Rows, width: usize) -> Rows {
        let wider = Rows { width: rows.width.saturating_add(width), is_own: true, ..rows };
        self.tensor(wider.size());
        self.drop_rows(rows);
        wider
    }

    const fn drop_rows(&mut self, rows: Rows) {
        if rows.is_own {
            self.drop_tensor(rows.size());
        }
    }

    /// The sums of the rows for ids and for positions.
    const fn text(&mut self, count: usize, text: &TextSpec) -> Rows {
        // The positions as numbers, and copies of them and of the ids.
        self.bytes(size(count, 8, 3));
        self.embed(count, text.dim, [text.vocab, text.max_len]);
        self.free_bytes(size(count, 8, 3));
        Rows { count, width: text.dim, is_own: true }
    }

    /// Passes a grid through its stem and appends positions that are no Fourier features.
    const fn grid(&mut self, grid: &GridSpec, batch: usize, axes: &[usize]) -> Rows {
        let axes = grid.sizes(axes);
        let mut i = 0;
        let count = size(batch, stem::positions(&[], axes), 1);
        let mut rows = Rows { count, width: grid.channels, is_own: false };
        while i < grid.stem.len() {
            let (before, _) = grid.stem.split_at(i);
            let (after, _) = grid.stem.split_at(i + 1);
            let width = stem::channels(after, grid.channels);
            let next = size(batch, stem::positions(after, axes), 1);
            let next = Rows { count: next, width, is_own: true };
            match grid.stem[i] {
                Stem::Linear(_) => self.linear(rows.count, rows.width, width),
                Stem::Patches(_) => self.gathered(rows.count, batch, next.size()),
                Stem::ConvPool(_) => {
                    let (sizes, count) = stem::sizes(before, axes);
                    self.conv_pool(sizes.split_at(count).0, batch, rows, next);
                }
            }
            self.drop_rows(rows);
            rows = next;
            i += 1;
        }
        match grid.position {
            Position::Learned { channels, project } => {
                let positions = stem::positions(grid.stem, axes);
                self.tensor(size(positions, channels, 1));
                let mut width = channels;
                if let Some(projected) = project {
                    self.linear(positions, channels, projected);
                    self.drop_tensor(size(positions, channels, 1));
                    width = projected;
                }
                let copies = size(positions, width, if batch > 1 { batch } else { 0 });
                self.tensor(copies);
                rows = self.widened(rows, width);
                self.drop_tensor(copies);
                self.drop_tensor(size(positions, width, 1));
            }
            Position::Given(width) => rows = self.widened(rows, width),
            Position::None | Position::Fourier(_) => {}
        }
        rows
    }

    /// Gathers rows by their numbers, `places` of all items, to a tensor.
    const fn gathered(&mut self, places: usize, batch: usize, numbers: usize) {
        let of_item = each(places, batch);
        let bytes = size(places.saturating_add(of_item), 8, 1);
        self.bytes(bytes);
        self.tensor(numbers);
        self.free_bytes(bytes);
    }

    const fn conv_pool(&mut self, axes: &[usize], batch: usize, rows: Rows, next: Rows) {
        let [convolved, area, pool] = conv_pool::places(axes);
        let padded = size(rows.count.saturating_add(batch), rows.width, 1);
        let (count, window) = (size(batch, convolved, 1), size(area, rows.width, 1));
        self.tensor(padded);
        self.gathered(size(count, area, 1), batch, size(count, window, 1));
        self.drop_tensor(padded);
        self.linear(count, window, next.width);
        self.drop_tensor(size(count, window, 1));
        self.gathered(size(next.count, pool, 1), batch, size(next.size(), pool, 1));
        self.drop_tensor(size(count, next.width, 1));
        self.tensor(next.size());
        self.drop_tensor(size(next.size(), pool, 1));
    }

    /// The tokens of several inputs, one after another.
    const fn modalities(&mut self, plan: &Plan, inputs: &Inputs<'_>) -> Rows {
        let Inputs { batch, axes, count } = *inputs;
        let width = match plan.numbers.cross.context {
            Some(width) => width,
            None => 0,
        };
        let all = Rows { count: size(batch, count, 1), width, is_own: true };
        let mut i = 0;
        while i < plan.modalities.len() && i < axes.len() {
            self.modality(&plan.modalities[i], batch, axes[i], width);
            i += 1;
        }
        if i > 1 {
            self.tensor(all.size());
            self.drop_tensor(all.size());
        }
        all
    }

    const fn modality(&mut self, modality: &Modality, batch: usize, axes: &[usize], width: usize) {
        let rows = match &modality.input {
            ModalityInput::Text(text) => self.text(size(batch, modality.tokens(axes), 1), text),
            ModalityInput::Grid(grid) => {
                let rows = self.grid(grid, batch, axes);
                match grid.position {
                    Position::Fourier(_) => {
                        let features = grid.token_dim().saturating_sub(rows.width);
                        let bytes = size(grid.tokens(axes), features, 8 + 4);
                        self.bytes(bytes);
                        let wider = self.widened(rows, features);
                        self.free_bytes(bytes);
                        wider
                    }
                    _ => rows,
                }
            }
        };
        let padding = size(rows.count, width.saturating_sub(rows.width), 1);
        self.tensor(padding);
        _ = self.widened(rows, width.saturating_sub(rows.width));
        self.drop_tensor(padding);
    }
}

/// The columns of a row of so many tokens.
const fn padded(tokens: usize) -> usize {
    tokens.div_ceil(planes::LANES).saturating_mul(planes::LANES)
}
