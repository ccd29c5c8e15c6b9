#![doc = include_str!("../README.md")]
//!
//! # Modules
//! In the order in which a command line passes through them:
//!
//! * `hook`: the user's own commands, which come first. `extension`: programs on the path, which come last.
//! * `args`: the parsed command line. `variables`: the environment.
//! * `settings`: the merged and checked values, with all mistakes at once.
//! * `commands`: one file for each command, which calls the library.
//! * `output`, `progress`, `report`, `exit`: data, progress, failures, exit codes.
//! * `terminal`: the user's terminal, connected to a console or to telnet.
//! * `owner`: the process that owns a cluster, and its protocol with `start`.

mod args;
mod commands;
mod exit;
mod extension;
mod hook;
mod output;
mod owner;
mod progress;
mod report;
mod settings;
mod terminal;
mod variables;

use std::ffi::OsString;
use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::Parser;

/// The command line as clap knows it, for tests of the documentation.
pub fn command() -> clap::Command {
    args::command()
}

/// Runs the command of these args, prints its failure, and returns its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Err(failure) = hook::run(&args) {
        failure.print();
        return failure.exit.into();
    }
    let args = match args::Args::try_parse_from(&args) {
        Ok(args) => args,
        Err(error) => match extension::run(&args, &error) {
            Ok(()) => return usage(&error),
            Err(failure) => {
                failure.print();
                return failure.exit.into();
            }
        },
    };
    let variables = variables::Variables::new(std::env::vars_os());
    log(args.verbose, variables.value("XCLUSTER_LOG"));
    match commands::run(&args, &variables) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}

/// Prints help, or the mistake in the command line. A closed output is not a failure.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if let Some(name) = extension::unknown_command(error) {
        let _ = writeln!(
            stderr(),
            "\nTo add this command, write `cmd_{}` in the file that XCLUSTER_HOOK names, or a program `xcluster-{name}` on the path.",
            name.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
        );
    }
    if error.use_stderr() { exit::Exit::USAGE.into() } else { exit::Exit::OK.into() }
}

/// Sends the log to standard error, with the level of `-v`, else with the filter of the variable.
fn log(verbose: u8, filter: Option<&str>) {
    let filter = match verbose {
        0 => filter.unwrap_or("warn"),
        1 => {
            "xcluster_cli=info,xcluster_core=info,xcluster_net_bridge=info,xcluster_net_ovs=info,xcluster_net_user=info"
        }
        _ => "debug",
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(report::colourful() && std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A test that calls this twice keeps its first subscriber.
    let _ = subscriber.try_init();
}
