//! From the latents to the output.

use super::input::Inputs;
use super::layers::Stored;
use super::{Plan, Replay, size};
use crate::model::{CHUNK, OutputKind, OutputQueries, ProjectionKind};
use crate::nn::decoder;
use crate::spec::{BlockShape, Heads};

/// What is decoded: queries of each item, and the widths of the linear layers behind the block.
#[derive(Clone, Copy)]
struct Decoded<'a> {
    batch: usize,
    /// All of them, and those of all outputs together.
    queries: usize,
    of_all: usize,
    layers: &'a [usize],
    /// Whether a chunk of them is a tensor of its own.
    are_copied: bool,
}

impl Replay {
    /// Computes the output from the latents, with so many queries for each item.
    pub(super) const fn output(&mut self, plan: &Plan, inputs: &Inputs<'_>, queries: usize) {
        let (n, batch) = (&plan.numbers, inputs.batch);
        match plan.output {
            OutputKind::Latents => {}
            OutputKind::MeanPool(classes) => self.linear(batch, n.latent_dim, classes),
            OutputKind::Queries { learned, takes_tokens, project, width } => {
                self.latents_as_context(plan, batch, queries);
                if learned.is_some() {
                    self.tensor(size(batch, queries, n.decoder.dim));
                }
                let layers: &[usize] = match project {
                    ProjectionKind::Linear | ProjectionKind::Embedding => &[width],
                    ProjectionKind::None => &[],
                };
                let are_copied = plan.query_grid.is_some() || takes_tokens || queries > CHUNK;
                self.decode(plan, Decoded { batch, queries, of_all: queries, layers, are_copied });
            }
            OutputKind::Modalities => {
                self.latents_as_context(plan, batch, queries);
                let mut i = 0;
                while i < plan.outputs.len() {
                    let output = &plan.outputs[i];
                    if let OutputQueries::Learned { count, dim } = output.queries {
                        self.tensor(size(batch, count, dim));
                    }
                    let layers: &[usize] = match output.project {
                        Some(width) => &[plan.output_dim, width],
                        None => &[plan.output_dim],
                    };
                    self.decode(
                        plan,
                        Decoded {
                            batch,
                            queries: output.count(),
                            of_all: queries,
                            layers,
                            are_copied: true,
                        },
                    );
                    i += 1;
                }
            }
        }
    }

    /// Prepares the latents to be attended to by so many queries.
    const fn latents_as_context(&mut self, plan: &Plan, batch: usize, queries: usize) {
        let BlockShape { dim, heads, .. } = plan.numbers.decoder;
        let (rows, width) = (plan.numbers.num_latents, plan.numbers.latent_dim);
        let count = size(batch, rows, 1);
        if decoder::absorbs(heads, dim, rows, queries) {
            self.mapped(size(count, width, 1));
            self.linear(count, width, heads.key_value_width());
            self.drop_tensor(size(count, width, 1));
            // Keys and values apart, then projected, then beside each other again.
            self.tensor(size(count, heads.key_value_width(), 1));
            self.drop_tensor(size(count, heads.key_value_width(), 1));
            self.linear(count, heads.value_dim, dim);
            self.tensor(size(count, dim.saturating_mul(2), 1));
            self.tensor(size(count, dim.saturating_mul(2).saturating_add(1), 1));
            self.drop_tensor(size(count, dim.saturating_mul(3), 1));
            self.drop_tensor(size(count, heads.key_value_width(), 1));
        }
        self.tensor(size(count, width, 1));
        self.briefly(size(count, width, 1));
    }

    /// Decodes queries, chunk by chunk.
    const fn decode(&mut self, plan: &Plan, decoded: Decoded<'_>) {
        let Decoded { batch, queries, of_all, layers, are_copied } = decoded;
        let shape = plan.numbers.decoder;
        let (latents, width) = (plan.numbers.num_latents, plan.numbers.latent_dim);
        let is_absorbed = decoder::absorbs(shape.heads, shape.dim, latents, of_all);
        let folds = match shape.mlp {
            Some(mlp) => {
                decoder::folds(shape.dim, shape.dim.saturating_mul(mlp.mult), layers, queries)
            }
            None => false,
        };
        let outputs = match layers {
            [.., last] => *last,
            [] => shape.dim,
        };
        let mut first = 0;
        while first < queries {
            let chunk = if queries - first < CHUNK { queries - first } else { CHUNK };
            let (rows, all) = (size(batch, chunk, 1), size(batch, chunk, shape.dim));
            if are_copied {
                self.tensor(all);
                // In f64 and in f32, before they are beside each other.
                self.briefly(all.saturating_mul(3));
            }
            let attention = BlockShape { mlp: None, ..shape };
            match is_absorbed {
                true => self.attend_absorbed(batch, chunk, latents, attention),
                false => {
                    let context = Some(width);
                    let attention = BlockShape { context, ..attention };
                    self.cross(batch, chunk, latents, attention, Stored::Dense);
                    // It replaces its rows.
                    self.tensor(all);
                    self.drop_tensor(all);
                }
            }
            if !are_copied {
                // Those that all chunks are taken from stay.
                self.tensor(all);
            }
            if let (Some(mlp), true) = (shape.mlp, folds) {
                self.mapped(all);
                self.linear(rows, shape.dim, outputs);
                self.feed_forward(rows, shape.dim, outputs, mlp);
                self.drop_tensor(all);
                self.drop_tensor(size(rows, outputs, 1));
            } else {
                if let Some(mlp) = shape.mlp {
                    self.mapped(all);
                    self.feed_forward(rows, shape.dim, shape.dim, mlp);
                    self.drop_tensor(all.saturating_mul(2));
                }
                self.tensor(all);
                let (mut i, mut before) = (0, shape.dim);
                while i < layers.len() {
                    self.linear(rows, before, layers[i]);
                    self.drop_tensor(size(rows, before, 1));
                    before = layers[i];
                    i += 1;
                }
                self.drop_tensor(all);
            }
            first += chunk;
            // From the second on, chunks allocate the same, and their results stay.
            if first == 2 * CHUNK && queries > 3 * CHUNK {
                let skipped = (queries - first) / CHUNK * CHUNK - CHUNK;
                self.tensor(size(batch, skipped, outputs));
                first += skipped;
            }
        }
        if queries > CHUNK {
            self.briefly(size(batch, queries, outputs));
        }
    }

    /// A block whose keys and values are as wide as its rows.
    const fn attend_absorbed(
        &mut self,
        batch: usize,
        rows: usize,
        tokens: usize,
        shape: BlockShape,
    ) {
        let all = size(batch, rows, shape.dim);
        let wider = size(batch, rows, shape.dim.saturating_add(1));
        self.mapped(all);
        self.tensor(wider);
        self.drop_tensor(all);
        let heads = Heads { count: 1, dim: shape.dim.saturating_add(1), value_dim: shape.dim };
        self.attention(batch, rows, tokens, heads);
        self.drop_tensor(wider);
        if shape.residual {
            self.mapped(all);
            self.drop_tensor(all);
        }
        self.drop_tensor(all);
    }
}
