//! `exec`: runs a command in nodes. Output is streamed. Every node's result is reported, even if other nodes fail.

mod lines;
mod many;
mod single;

use std::ffi::OsString;
use std::time::Duration;

use xcluster_core::guest::exec::Command;

use super::select::{attach, select};
use crate::args::ExecArgs;
use crate::exit::Exit;
use crate::report::Outcome;
use crate::settings::Reader;
use crate::settings::duration;
use crate::variables::Variables;

/// Runs the command. A failure of our own ends with 255, so that it differs from the command's codes, except an interrupt and a
/// closed output.
pub(super) async fn run(args: &ExecArgs, variables: &Variables) -> Outcome {
    execute(args, variables).await.map_err(|failure| match failure.exit {
        Exit::PIPE | Exit::INTERRUPTED => failure,
        _ => failure.with_exit(Exit::NOT_RUN),
    })
}

async fn execute(args: &ExecArgs, variables: &Variables) -> Outcome {
    let mut reader = Reader::new(variables);
    let timeout = args.timeout.as_deref().and_then(|time| reader.value("--timeout", Some(time), "", duration));
    reader.finish()?;
    let cluster = attach(&args.name, variables).await?;
    let nodes = select(&args.nodes, &cluster.status().await?)?;
    let command = command(&args.command, timeout);
    match nodes.as_slice() {
        [node] if !args.json.json => single::run(&cluster, *node, command, !args.no_stdin).await,
        nodes if args.json.json => many::collect(&cluster, nodes, &command).await,
        nodes => many::stream(&cluster, nodes, &command).await,
    }
}

/// A single argument is a line for the guest's shell; several are a program and its arguments.
fn command(args: &[OsString], timeout: Option<Duration>) -> Command {
    let command = match args {
        [line] => Command::shell(line),
        [program, arguments @ ..] => Command::new(program).args(arguments),
        [] => Command::new(""),
    };
    match timeout {
        Some(timeout) => command.timeout(timeout),
        None => command.no_timeout(),
    }
}
