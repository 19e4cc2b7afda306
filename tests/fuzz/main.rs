//! Random checkpoints and inputs: an error or a result, never a panic. `README.md` says how to run more of them.

mod checkpoints;
mod edits;
mod forward;
