//! What averaging the gradients of the README's model costs, on one machine:
//!
//! ```console
//! $ cargo build --release -p perceiver-benches --features mpi --bench distributed
//! $ RAYON_NUM_THREADS=1 mpirun -np 2 target/release/deps/distributed-.. --bench
//! ```

use std::process::ExitCode;
use std::time::Instant;

use perceiver::prelude::*;
use perceiver::train::distributed;

perceiver! {
    struct ReadMe {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
        num_latents: 256,
        latent_dim: 512,
        num_classes: 1000,
    }
}

const RUNS: usize = 7;

fn main() -> ExitCode {
    // Only who starts it by hand gives this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    distributed::run(|world| {
        let dev = Cpu::seed_from_u64(0);
        let model = dev.build_module::<ReadMe, f32>();
        let mut gradients = model.alloc_grads();
        let mut seconds: Vec<f64> = Vec::new();
        for _ in 0..RUNS {
            // So that all begin at once.
            world.mean(&mut [0.0]);
            let start = Instant::now();
            world.average(&model, &mut gradients)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        if world.rank() == 0 {
            seconds.sort_by(f64::total_cmp);
            let (ranks, median) = (world.size(), seconds[RUNS / 2]);
            let sent =
                4.0 * ReadMe::<f32>::PARAMETERS as f64 * 2.0 * (ranks - 1) as f64 / ranks as f64;
            let rate = sent / median / 1e9;
            println!(
                "{ranks} ranks: {:.0} ms per step, {rate:.2} GB/s from each rank",
                1e3 * median
            );
        }
        Ok(())
    })
}
