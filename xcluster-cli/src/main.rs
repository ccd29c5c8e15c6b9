//! The `xcluster` command. Its code is in the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    xcluster_cli::run(std::env::args_os())
}
