//! Programs that are commands: `xcluster-NAME` on the path is `xcluster NAME`, as git has it. What we or a hook have by that
//! name comes first.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use xcluster_core::qemu::process::find_program;

use crate::exit::Exit;
use crate::hook::{self, PROGRAM};
use crate::report::Failure;
use crate::settings::DEFAULT_NAME;

/// Becomes the program for a command that we do not have. Returns if there is none, or that is not what is wrong.
///
/// # Errors
/// The program is there and cannot be run.
pub(crate) fn run(args: &[OsString], error: &clap::Error) -> Result<(), Failure> {
    let Some(name) = unknown_command(error) else { return Ok(()) };
    let Some(program) = program(name).and_then(|program| find_program(Path::new(&program))) else { return Ok(()) };
    let rest = args.iter().skip_while(|arg| *arg != name).skip(1);
    let mut command = Command::new(&program);
    command.args(rest);
    if let Ok(ours) = std::env::current_exe() {
        command.env(PROGRAM, ours);
    }
    if std::env::var_os("XCLUSTER_NAME").is_none_or(|name| name.is_empty()) {
        command.env("XCLUSTER_NAME", DEFAULT_NAME);
    }
    hook::leave(&mut command);
    let error = command.exec();
    Err(Failure::io(format!("run `{}`", program.display()), &error).with_exit(Exit::NOT_EXECUTABLE))
}

/// What was typed where a command is expected, if it is none of ours.
pub(crate) fn unknown_command(error: &clap::Error) -> Option<&str> {
    match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(name))) => Some(name),
        _ => None,
    }
}

/// The name of the program of a command; none for what would lead elsewhere.
fn program(name: &str) -> Option<String> {
    (!name.is_empty() && !name.contains('/')).then(|| format!("xcluster-{name}"))
}
