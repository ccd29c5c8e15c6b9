//! The command line of a hook: the command, its args, and options that set variables. Pure.

use std::ffi::OsString;

use crate::variables;

/// A command line for a hook.
#[derive(Debug, PartialEq)]
pub(super) struct HookArgs {
    /// The command, of the hook or built in.
    pub(super) command: String,
    /// Its args.
    pub(super) rest: Vec<OsString>,
    /// Variables that options before the hook args set.
    pub(super) variables: Vec<(String, String)>,
    /// The `-v` options as one arg, or empty.
    pub(super) verbose: String,
}

impl HookArgs {
    /// None if the command needs no hook: help, the version, or a command about the program itself.
    pub(super) fn read(args: &[OsString]) -> Option<Self> {
        let texts: Vec<&str> = args.iter().skip(1).map(|arg| arg.to_str().unwrap_or_default()).collect();
        let verbose = texts.iter().take_while(|arg| is_verbose(arg));
        let verbose: usize = verbose.map(|arg| if arg.starts_with("--") { 1 } else { arg.len() - 1 }).sum();
        let place = texts.iter().position(|arg| !is_verbose(arg))?;
        let command = texts[place];
        let rest: Vec<OsString> = args[place + 2..].to_vec();
        let ours = crate::args::command().find_subcommand(command).cloned();
        let asks_help =
            texts[place + 1..].iter().take_while(|arg| **arg != "--").any(|arg| matches!(*arg, "-h" | "--help"));
        let skipped = command.starts_with('-') || command.is_empty() || WITHOUT_HOOK.contains(&command);
        if skipped || (ours.is_some() && asks_help) {
            return None;
        }
        let verbose = if verbose == 0 { String::new() } else { format!("-{}", "v".repeat(verbose)) };
        let (variables, rest) = if ours.is_some() { (Vec::new(), rest) } else { take_variables(rest) };
        Some(Self { command: command.to_owned(), rest, variables, verbose })
    }
}

/// Commands that need no hook: they are about the program, or run by it.
const WITHOUT_HOOK: [&str; 4] = ["help", "owner", "completions", "man"];

fn is_verbose(arg: &str) -> bool {
    arg == "--verbose" || (arg.len() > 1 && arg.strip_prefix('-').is_some_and(|rest| rest.bytes().all(|b| b == b'v')))
}

/// Splits off leading options such as `--nvm=2`, as variables.
fn take_variables(rest: Vec<OsString>) -> (Vec<(String, String)>, Vec<OsString>) {
    let mut variables = Vec::new();
    let mut rest = rest.into_iter().peekable();
    while let Some(variable) = rest.peek().and_then(|arg| variable(arg.to_str()?)) {
        variables.push(variable);
        rest.next();
    }
    (variables, rest.collect())
}

fn variable(arg: &str) -> Option<(String, String)> {
    let (option, value) = arg.split_once('=')?;
    let option = option.strip_prefix("--")?;
    Some((variables::of_option(option)?, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<HookArgs> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        HookArgs::read(&args)
    }

    #[test]
    fn help_and_commands_about_the_program_need_no_hook() {
        for line in [
            "xcluster",
            "xcluster --help",
            "xcluster -h",
            "xcluster --version",
            "xcluster help",
            "xcluster help start",
            "xcluster -v",
            "xcluster start --help",
            "xcluster stop -h",
            "xcluster completions bash",
            "xcluster man x",
            "xcluster owner lab",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn all_args_after_the_command_belong_to_it() {
        let hook_args = read("xcluster -vv --verbose exec 1 -- ls --help").unwrap();
        assert_eq!((hook_args.command.as_str(), hook_args.verbose.as_str()), ("exec", "-vvv"));
        assert_eq!(hook_args.rest, ["1", "--", "ls", "--help"]);
        assert_eq!(read("xcluster mystart --help").unwrap().rest, ["--help"]);
    }

    #[test]
    fn options_before_the_hook_args_set_variables() {
        let hook_args = read("xcluster mystart --nvm=2 --nets_vm=0,1 --mem201=256 --name=lab --fast --nvm=3").unwrap();
        let variables: Vec<(&str, &str)> = hook_args.variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(variables, [("__nvm", "2"), ("__nets_vm", "0,1"), ("__mem201", "256"), ("XCLUSTER_NAME", "lab")]);
        assert_eq!(hook_args.rest, ["--fast", "--nvm=3"]);
        assert!(read("xcluster start --nvm=2").unwrap().variables.is_empty());
    }
}
