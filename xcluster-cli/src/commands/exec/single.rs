//! `exec` on one node: standard input and output are the command's, byte by byte, and Ctrl-C interrupts the command.

use std::io::{Write, stderr};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, spawn_blocking};
use xcluster_core::Cluster;
use xcluster_core::guest::exec::{Command, Event, Execution, Status, StdinWriter};
use xcluster_core::name::NodeId;

use crate::exit::Exit;
use crate::output;
use crate::report::{Failure, Outcome};
use crate::terminal::{self, is_foreground};

const SIGINT: i32 = 2;

/// Runs the command and returns its exit code.
pub(super) async fn run(cluster: &Cluster, node: NodeId, command: Command, stdin: bool) -> Outcome {
    // The kernel would stop a background job that reads from the terminal.
    let stdin = stdin && is_foreground();
    let command = if stdin { command.stream_stdin() } else { command };
    let mut execution = cluster.node(node)?.spawn(command).await?;
    if let Some(writer) = execution.take_stdin() {
        tokio::spawn(forward(writer));
    }
    let status = follow(node, &mut execution).await?;
    Ok(Exit::of_command(status.code()))
}

/// Sends standard input to the command until one of them ends.
async fn forward(mut writer: StdinWriter) {
    let mut input = terminal::standard_input();
    while let Some(event) = input.events.recv().await {
        match event {
            terminal::Event::Bytes(bytes) => {
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            terminal::Event::Window(_) => {}
            terminal::Event::End | terminal::Event::Leave => return,
        }
    }
}

/// Prints output until the command has ended. Output is written in another thread, so that a slow reader does not delay signals.
/// The first Ctrl-C goes to the command; a second one ends this process, which kills the command.
async fn follow(node: NodeId, execution: &mut Execution) -> Result<Status, Failure> {
    let watched = |error: std::io::Error| Failure::io("watch signals", &error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(watched)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(watched)?;
    // The reader of standard input watches SIGHUP too, so its default effect is gone.
    let mut hangup = signal(SignalKind::hangup()).map_err(watched)?;
    let mut interrupted = false;
    let mut written: Option<JoinHandle<Result<(), Failure>>> = None;
    loop {
        let is_writing = written.is_some();
        tokio::select! {
            result = async { written.as_mut().expect("checked by the guard of this branch").await }, if is_writing => {
                written = None;
                result.unwrap_or(Ok(()))?;
            }
            event = execution.next(), if !is_writing => match event.map_err(|error| Failure::not_run(node, &error))? {
                Some(Event::Stdout(bytes)) => written = Some(spawn_blocking(move || output::write_all(&bytes))),
                // A closed standard error is ignored.
                Some(Event::Stderr(bytes)) => written = Some(spawn_blocking(move || {
                    drop(stderr().write_all(&bytes));
                    Ok(())
                })),
                Some(Event::Exited(status)) => return Ok(status),
                Some(_) => {}
                None => return Err(Failure::new(Exit::NOT_RUN, format!("{node} closed the connection before the command ended"))),
            },
            _ = interrupt.recv() => {
                if interrupted {
                    return Err(Failure::quiet(Exit::INTERRUPTED));
                }
                interrupted = true;
                execution.signal(SIGINT);
            }
            _ = hangup.recv() => return Err(Failure::quiet(Exit::INTERRUPTED)),
            _ = terminate.recv() => return Err(Failure::quiet(Exit::INTERRUPTED)),
        }
    }
}
