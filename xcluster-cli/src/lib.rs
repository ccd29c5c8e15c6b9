#![doc = include_str!("../README.md")]
//!
//! # The house
//! What is typed flows through it in this order:
//!
//! * `hook`: the user's own commands, which come first. `extension`: programs that are commands, which come last.
//! * `args`: what was typed. `variables`: what the environment says.
//! * `settings`: what will be done; all mistakes at once.
//! * `commands`: one file each; they have the library do it.
//! * `output`, `progress`, `report`, `exit`: data, what is going on, what went wrong, with which code it ends.
//! * `terminal`: somebody's terminal joined to a console or to telnet.
//! * `owner`: the process that a cluster lives in, and how `start` talks to it.

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

use clap::{CommandFactory, Parser};

/// The command line as clap knows it, for completions, manual pages and tests of the documentation.
pub fn command() -> clap::Command {
    args::Args::command()
}

/// Does what the args say and reports how it went.
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

/// Prints help, or what is wrong with the command line. Help that nobody reads is no failure.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if let Some(name) = extension::unknown_command(error) {
        let _ = writeln!(
            stderr(),
            "\nA command of your own is `cmd_{}` in the file that XCLUSTER_HOOK names, or a program `xcluster-{name}` on the path.",
            name.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
        );
    }
    if error.use_stderr() { exit::Exit::USAGE.into() } else { exit::Exit::OK.into() }
}

/// Sends the log to standard error: of what `-v` says, else of what the variable says.
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
    // A test that calls this twice keeps its first log.
    let _ = subscriber.try_init();
}
