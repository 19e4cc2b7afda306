//! With the feature `mpi`, says which packages are missing before the build scripts of `mpi` and bindgen fail without it.

use std::env;
use std::process::{Command, Stdio};

fn main() {
    // Where `mpi` looks for the library.
    const VARIABLES: [&str; 3] = ["MPICC", "MPI_PKG_CONFIG", "CRAY_MPICH_DIR"];
    println!("cargo::rerun-if-changed=build.rs");
    for variable in VARIABLES {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let is_needed = env::var_os("CARGO_FEATURE_MPI").is_some() && cfg!(unix);
    if !is_needed || VARIABLES.iter().any(|variable| env::var_os(variable).is_some()) {
        return;
    }
    let succeeds = |program: &str, argument: &str| {
        let mut command = Command::new(program);
        command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = succeeds("mpicc", "-show")
        || ["mpich", "ompi"].iter().any(|library| succeeds("pkg-config", library));
    if !found {
        println!(
            "cargo::error=the feature `mpi` needs an MPI library and libclang, but there is no `mpicc`. On Debian and Ubuntu: \
             apt install libopenmpi-dev openmpi-bin libclang-dev. Set MPICC to use another library's compiler"
        );
    }
}
