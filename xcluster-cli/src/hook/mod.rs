//! The user's hook: a shell file that adds commands and is read before every command. `prelude.sh` defines the functions that a
//! hook can call.
//!
//! * `file`: checks that a file can be a hook.
//! * `hook_args`: the command, its args, and the variables that options before the args set.

mod file;
mod hook_args;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::exit::Exit;
use crate::report::Failure;
use hook_args::HookArgs;

/// The variable that names the hook.
const HOOK: &str = "XCLUSTER_HOOK";

/// Set while a hook runs, so that the program does not read the hook again.
const IN_HOOK: &str = "XCLUSTER_IN_HOOK";

/// Its value for a command that runs after the hook. Commands that the hook calls have another value.
const DONE: &str = "end";

/// The variable with the path of this program, for hooks and programs of the user.
pub(crate) const PROGRAM: &str = "XCLUSTER";

/// The shell code around the hook.
const PRELUDE: &str = include_str!("prelude.sh");

/// Lets a program of the user use the hook again, if the hook has already run before it.
pub(crate) fn leave(command: &mut Command) {
    if std::env::var_os(IN_HOOK).is_some_and(|value| value == DONE) {
        command.env_remove(IN_HOOK);
    }
}

/// Replaces this process by the shell that runs the hook. Returns if there is no hook, or if the args need none.
///
/// # Errors
/// The hook cannot be used.
pub(crate) fn run(args: &[OsString]) -> Result<(), Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let Some(hook) = set(HOOK).filter(|_| set(IN_HOOK).is_none()) else { return Ok(()) };
    let Some(hook_args) = HookArgs::read(args) else { return Ok(()) };
    let failed = |failure: Failure| failure.context(format!("cannot use the hook `{}`", hook.to_string_lossy()));
    let hook = file::check(hook.as_ref()).map_err(failed)?;
    let program = std::env::current_exe().map_err(|error| failed(Failure::io("find this program", &error)))?;
    let mut shell = Command::new(hook.shell);
    shell.args(["-c", PRELUDE, "xcluster"]).arg(&hook_args.command).args(&hook_args.rest).envs(hook_args.variables);
    shell.env(PROGRAM, program).env(IN_HOOK, "yes").env("__xc_hook", &hook.path).env("__xc_verbose", hook_args.verbose);
    let error = shell.exec();
    Err(failed(Failure::io(format!("run `{}`", hook.shell), &error).with_exit(Exit::HOST)))
}
