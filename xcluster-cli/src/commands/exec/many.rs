//! `exec` on several nodes at the same time: output lines with the node's name, or all results as JSON at the end.

use std::io::{Write, stderr};

use futures::future::try_join_all;
use serde::Serialize;
use xcluster_core::guest::exec::{Command, Event, Output, Status};
use xcluster_core::name::NodeId;
use xcluster_core::{Cluster, Error};

use super::lines::Lines;
use crate::exit::Exit;
use crate::output;
use crate::report::{Failure, Outcome};

/// Runs the command on all nodes and prints their lines at once.
pub(super) async fn stream(cluster: &Cluster, nodes: &[NodeId], command: &Command) -> Outcome {
    let runs = nodes.iter().map(|node| async move {
        match follow(cluster, *node, command.clone()).await {
            Ok(status) => {
                if status == Status::TimedOut {
                    Failure::new(Exit::TIMEOUT, format!("on {node} the command {status}")).print();
                }
                Ok(Exit::of_command(status.code()))
            }
            // A closed standard output ends the command on all nodes.
            Err(failure) if failure.exit == Exit::PIPE => Err(failure),
            Err(failure) => {
                failure.print();
                Ok(Exit::NOT_RUN)
            }
        }
    });
    try_join_all(runs).await.map(first_failure)
}

async fn follow(cluster: &Cluster, node: NodeId, command: Command) -> Result<Status, Failure> {
    let mut execution = cluster.node(node)?.spawn(command).await?;
    let (mut stdout, mut errors) = (Lines::new(node), Lines::new(node));
    loop {
        match execution.next().await.map_err(|error| Failure::not_run(node, &error))? {
            Some(Event::Stdout(bytes)) => output::write_all(&stdout.push(&bytes))?,
            Some(Event::Stderr(bytes)) => drop(stderr().write_all(&errors.push(&bytes))),
            Some(Event::Exited(status)) => {
                output::write_all(&stdout.finish())?;
                drop(stderr().write_all(&errors.finish()));
                return Ok(status);
            }
            Some(_) => {}
            None => {
                return Err(Failure::new(
                    Exit::NOT_RUN,
                    format!("{node} closed the connection before the command ended"),
                ));
            }
        }
    }
}

/// The result of one node, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    node: NodeId,
    name: String,
    /// The exit code as in a shell; none if the command could not be run.
    code: Option<i32>,
    /// Whether it was killed at its deadline.
    timed_out: bool,
    stdout: String,
    stderr: String,
    /// The reason why it could not be run, or not to its end.
    error: Option<String>,
}

impl Row {
    fn new(node: NodeId, result: Result<Output, Error>) -> Self {
        let name = node.to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match result {
            Ok(Output { status, stdout, stderr, .. }) => {
                let (timed_out, stdout, stderr) = (status == Status::TimedOut, text(&stdout), text(&stderr));
                Self { node, name, code: Some(status.code()), timed_out, stdout, stderr, error: None }
            }
            Err(error) => {
                let error = Some(Failure::from(error).chain.join(": "));
                Self { node, name, code: None, timed_out: false, stdout: String::new(), stderr: String::new(), error }
            }
        }
    }
}

/// Runs the command on all nodes and prints every result as JSON.
pub(super) async fn collect(cluster: &Cluster, nodes: &[NodeId], command: &Command) -> Outcome {
    let results = cluster.exec_on(nodes, command.clone()).await;
    let rows: Vec<Row> = nodes.iter().zip(results).map(|(node, result)| Row::new(*node, result)).collect();
    output::print_json(&rows)?;
    Ok(first_failure(rows.iter().map(|row| row.code.map_or(Exit::NOT_RUN, Exit::of_command))))
}

fn first_failure(exits: impl IntoIterator<Item = Exit>) -> Exit {
    exits.into_iter().find(|exit| !exit.is_ok()).unwrap_or(Exit::OK)
}
