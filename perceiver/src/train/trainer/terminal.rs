//! The progress bar, and the signals that end a training (feature `terminal`).

#[cfg(feature = "terminal")]
use {
    indicatif::{ProgressBar, ProgressStyle},
    signal_hook::{
        consts::{SIGINT, SIGTERM},
        flag,
    },
    std::io,
    std::sync::{Arc, atomic::AtomicBool},
};

/// The progress bar of an epoch, if there is one.
#[derive(Debug, Default)]
pub(super) struct EpochBar {
    #[cfg(feature = "terminal")]
    pub(super) is_on: bool,
    #[cfg(feature = "terminal")]
    bar: Option<ProgressBar>,
}

#[cfg_attr(not(feature = "terminal"), expect(unused_variables, clippy::unused_self))]
impl EpochBar {
    /// Begins an epoch of so many batches, if that is known, some of which are done.
    pub(super) fn begin(&mut self, epoch: u64, done: usize, batches: Option<usize>) {
        #[cfg(feature = "terminal")]
        if self.is_on {
            let (bar, template) = match batches {
                Some(batches) => (
                    ProgressBar::new(batches as u64),
                    "epoch {prefix} {bar:40} {pos}/{len}, {eta} left {msg}",
                ),
                None => (ProgressBar::no_length(), "epoch {prefix} {spinner} {pos} {msg}"),
            };
            let style = ProgressStyle::with_template(template);
            let bar = bar
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                .with_prefix((epoch + 1).to_string())
                .with_position(done as u64);
            // What was done before a resume took none of this time.
            bar.reset_eta();
            self.bar = Some(bar);
        }
    }

    /// Shows how many batches are done, and a loss.
    pub(super) fn show(&self, batches: usize, loss: f64) {
        #[cfg(feature = "terminal")]
        if let Some(bar) = &self.bar {
            bar.set_message(format!("loss {loss:.4}"));
            bar.set_position(batches as u64);
        }
    }

    /// Removes the bar.
    pub(super) fn end(&mut self) {
        #[cfg(feature = "terminal")]
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Sets a flag at ctrl-C and SIGTERM. If it is set already, ctrl-C ends the program.
#[cfg(feature = "terminal")]
pub(super) fn set_on_signal(stop: &Arc<AtomicBool>) -> io::Result<()> {
    // Those that were registered first are called first.
    flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(stop))?;
    flag::register(SIGINT, Arc::clone(stop))?;
    flag::register(SIGTERM, Arc::clone(stop))?;
    Ok(())
}
