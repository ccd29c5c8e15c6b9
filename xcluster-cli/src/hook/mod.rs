//! The user's hook: a shell file with commands of his own, which is read before every command. What its functions find is in
//! `prelude.sh`; what its args mean is its own affair.
//!
//! * `file`: whether a file can be a hook.
//! * `hook_args`: which command was typed, and which variables are set by options before its args.

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

/// Set where a hook runs already: what it calls is the program itself.
const IN_HOOK: &str = "XCLUSTER_IN_HOOK";

/// The value for what a hook is done with; for all that a hook calls it is another one.
const DONE: &str = "end";

/// What tells a program of the user where we are.
pub(crate) const PROGRAM: &str = "XCLUSTER";

/// What is read before and after the hook.
const PRELUDE: &str = include_str!("prelude.sh");

/// Has a program of the user's know nothing of the hook that was done with before it: what it calls may be the hook's again.
pub(crate) fn leave(command: &mut Command) {
    if std::env::var_os(IN_HOOK).is_some_and(|value| value == DONE) {
        command.env_remove(IN_HOOK);
    }
}

/// Becomes the shell that runs the hook, if there is one and the args are for it. Returns if not.
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
