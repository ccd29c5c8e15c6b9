//! One node: the command's input and output are ours, byte by byte, and Ctrl-C is its Ctrl-C.

use std::io::{Write, stderr};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, spawn_blocking};
use xcluster_core::Cluster;
use xcluster_core::guest::exec::{Command, Event, Execution, Status, StdinWriter};
use xcluster_core::name::NodeId;

use super::super::Outcome;
use super::failed;
use crate::exit::Exit;
use crate::output;
use crate::report::Failure;
use crate::terminal::{self, is_foreground};

const SIGINT: i32 = 2;

/// Runs the command and gives its exit code.
pub(super) async fn run(cluster: &Cluster, node: NodeId, command: Command, stdin: bool) -> Outcome {
    // A background job that read from the terminal would be stopped.
    let stdin = stdin && is_foreground();
    let command = if stdin { command.stream_stdin() } else { command };
    let mut execution = cluster.node(node)?.spawn(command).await?;
    if let Some(writer) = execution.take_stdin() {
        tokio::spawn(forward(writer));
    }
    let status = follow(node, &mut execution).await?;
    Ok(Exit::of_command(status.code()))
}

/// Types standard input into the command until either ends.
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

/// Passes output on until the command has ended, beside listening: whoever reads it may take his time. The first Ctrl-C goes to the command, a second one ends us, which kills
/// it.
async fn follow(node: NodeId, execution: &mut Execution) -> Result<Status, Failure> {
    let watched = |error: std::io::Error| Failure::io("watch signals", &error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(watched)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(watched)?;
    // Whoever reads the input watches for it as well, so it has lost its usual effect.
    let mut hangup = signal(SignalKind::hangup()).map_err(watched)?;
    let mut interrupted = false;
    let mut written: Option<JoinHandle<Result<(), Failure>>> = None;
    loop {
        let is_writing = written.is_some();
        tokio::select! {
            result = async { written.as_mut().expect("it is being written").await }, if is_writing => {
                written = None;
                result.unwrap_or(Ok(()))?;
            }
            event = execution.next(), if !is_writing => match event.map_err(|error| failed(node, &error))? {
                Some(Event::Stdout(bytes)) => written = Some(spawn_blocking(move || output::write_all(&bytes))),
                // Who closed standard error does not want it.
                Some(Event::Stderr(bytes)) => written = Some(spawn_blocking(move || {
                    drop(stderr().write_all(&bytes));
                    Ok(())
                })),
                Some(Event::Exited(status)) => return Ok(status),
                Some(_) => {}
                None => return Err(Failure::new(Exit::NOT_RUN, format!("{node} did not say how the command ended"))),
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
