//! `completions`: the completion script of a shell.

use crate::args::CompletionsArgs;
use crate::exit::Exit;
use crate::output::write_all;
use crate::report::Outcome;

/// Prints the script.
pub(super) fn run(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::command(), "xcluster", &mut script);
    write_all(&script)?;
    Ok(Exit::OK)
}
