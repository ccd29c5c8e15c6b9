//! Programs as commands: `xcluster-NAME` on the path is `xcluster NAME`, like in git. Built-in commands and the hook's commands
//! come first.

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

/// Replaces this process by the program of an unknown command. Returns if there is no such program, or if the error has another
/// reason.
///
/// # Errors
/// The program exists but cannot be run.
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

/// The name of the unknown command, if that is the error.
pub(crate) fn unknown_command(error: &clap::Error) -> Option<&str> {
    match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(name))) => Some(name),
        _ => None,
    }
}

/// The program of a command; none for a name with a slash, which would lead to another folder.
fn program(name: &str) -> Option<String> {
    (!name.is_empty() && !name.contains('/')).then(|| format!("xcluster-{name}"))
}
