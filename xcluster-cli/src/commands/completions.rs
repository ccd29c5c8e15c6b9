//! `completions`: what a shell needs to complete our command line.

use super::Outcome;
use crate::args::CompletionsArgs;
use crate::exit::Exit;
use crate::output::write_all;

/// Prints the script.
pub(super) fn run(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "xcluster", &mut script);
    write_all(&script)?;
    Ok(Exit::OK)
}
