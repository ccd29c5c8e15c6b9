//! `status`: shows running clusters.

use xcluster_core::host::Netns;
use xcluster_core::host::folder::{LostOwner, Survey};
use xcluster_core::name::ClusterName;
use xcluster_core::net::Forward;
use xcluster_core::{Cluster, ClusterStatus, Error, NodeState, NodeStatus};

use super::select::{attach, logs_in, survey};
use crate::args::StatusArgs;
use crate::exit::Exit;
use crate::output::{print, print_json, table};
use crate::report::{Failure, Outcome, printable};
use crate::settings::DEFAULT_NAME;
use crate::variables::Variables;

/// Prints the status of a cluster, or of all clusters.
pub(super) async fn run(args: &StatusArgs, variables: &Variables) -> Outcome {
    if args.all {
        let Survey { running, lost, .. } = survey()?;
        let (clusters, exit) = every(&running).await;
        let texts = || clusters.iter().map(text).collect::<Vec<_>>().join("\n");
        if args.json.json { print_json(&clusters) } else { print(&texts()) }?;
        return Ok(if lost.is_empty() { exit } else { tell_lost(lost) });
    } else {
        survey()?;
        let status = attach(&args.name, variables).await?.status().await?;
        if args.json.json { print_json(&status) } else { print(&text(&status)) }?;
    }
    Ok(Exit::OK)
}

/// Reports running clusters without a folder, which cannot be asked.
fn tell_lost(lost: Vec<LostOwner>) -> Exit {
    let mut exit = Exit::OK;
    for LostOwner { name, pid, .. } in lost {
        let failure = Failure::from(Error::LostFolder { name, owner: pid });
        failure.print();
        exit = failure.exit;
    }
    exit
}

/// The status of every cluster whose owner answers. The others are reported.
async fn every(running: &[ClusterName]) -> (Vec<ClusterStatus>, Exit) {
    let (mut clusters, mut exit) = (Vec::new(), Exit::OK);
    for name in running {
        let status = async { Cluster::attach(name).await?.status().await };
        match status.await {
            Ok(status) => clusters.push(status),
            // It has ended meanwhile.
            Err(Error::NotRunning(_) | Error::Ended) => {}
            Err(error) => {
                let failure = Failure::from(error).context(format!("cannot show cluster `{name}`"));
                failure.print();
                exit = failure.exit;
            }
        }
    }
    (clusters, exit)
}

/// The status as text.
pub(super) fn text(status: &ClusterStatus) -> String {
    let accel = status.accel.as_ref().map(|accel| format!("{accel}\n")).unwrap_or_default();
    let netns = status.netns.as_ref().map(|netns| format!("network namespace: {}\n", place(netns, &status.name)));
    let netns = netns.unwrap_or_default();
    let head = format!(
        "cluster {}: {}, owned by process {}\n{accel}{netns}logs: {}\n",
        status.name,
        state_name(&status.state),
        status.owner,
        status.folder.display()
    );
    let nets = status
        .nets
        .iter()
        .map(|net| [net.id.to_string(), net.kind.to_string(), net.mtu.to_string(), net.backend.clone()]);
    let nodes = status.nodes.iter().map(|node| {
        [node.name.clone(), node.role.singular().to_owned(), state(node), addresses(node), ports(&node.forwards)]
    });
    let nets = table(["NET", "KIND", "MTU", "BACKEND"], nets);
    let nodes = table(["NODE", "ROLE", "STATE", "ADDRESSES", "PORTS"], nodes);
    format!("{head}\n{nets}\n{nodes}{}", logins(status))
}

/// The network namespace of the links, and the command that enters it.
fn place(netns: &Netns, cluster: &ClusterName) -> String {
    match netns {
        Netns::Private => format!("private; `xcluster nsenter {cluster}` opens a shell in it"),
        Netns::Named(name) => format!("{name}; `xcluster nsenter {cluster}` opens a shell in it"),
        Netns::Here => "that of the owner".to_owned(),
    }
}

/// The commands that log in, if no port of this host leads to the nodes.
fn logins(status: &ClusterStatus) -> String {
    let Some(first) = status.nodes.iter().find(|node| node.state == NodeState::Ready) else { return String::new() };
    if !logs_in(status) || status.nodes.iter().any(|node| !node.forwards.is_empty()) {
        return String::new();
    }
    let (name, node) = (name_option(&status.name), first.id.number());
    format!(
        "\nlogins: `xcluster vm{name} {node}`, `xcluster ssh{name} {node}`; ports: `xcluster forward{name} 0:{node}:80`\n"
    )
}

/// The option for the cluster's name; empty for the default cluster.
pub(super) fn name_option(name: &ClusterName) -> String {
    if name.as_str() == DEFAULT_NAME { String::new() } else { format!(" --name {name}") }
}

fn state_name(state: &impl serde::Serialize) -> String {
    serde_json::to_value(state).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn state(node: &NodeStatus) -> String {
    match &node.reason {
        Some(reason) => format!("{}: {}", node.state, printable(reason)),
        None => node.state.to_string(),
    }
}

fn addresses(node: &NodeStatus) -> String {
    let addresses = node.nics.iter().map(|nic| nic.ipv4.to_string());
    addresses.collect::<Vec<_>>().join(" ")
}

fn ports(forwards: &[Forward]) -> String {
    let ports = forwards.iter().map(|Forward { port, host }| match port {
        22 => format!("ssh {host}"),
        23 => format!("telnet {host}"),
        port => format!("{port} {host}"),
    });
    ports.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
