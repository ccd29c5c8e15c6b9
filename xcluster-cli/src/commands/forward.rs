//! `forward`: ports of this host that lead to nodes, for as long as the command runs.

mod spec;

use std::io::{self, Write, stderr};
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::select_all;
use serde::Serialize;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use xcluster_core::name::NodeId;
use xcluster_core::{Cluster, ClusterStatus, Error, Node};

use super::Outcome;
use super::select::{attach, connect, one};
use crate::args::ForwardArgs;
use crate::exit::Exit;
use crate::output::{print, print_json};
use crate::report::Failure;
use crate::variables::Variables;

/// When to try again to accept a connection.
const AGAIN: Duration = Duration::from_millis(100);

/// Listens until Ctrl-C or the end of the cluster.
pub(super) async fn run(args: &ForwardArgs, variables: &Variables) -> Outcome {
    let specs = spec::read(&args.forwards)?;
    let cluster = attach(&args.name, variables).await?;
    let status = cluster.status().await?;
    let mut listeners = Vec::new();
    for spec in &specs {
        listeners.push(LocalListener::open(spec, &status).await?);
    }
    show(&listeners, args.json.json)?;
    let serving = select_all(listeners.iter().map(|listener| Box::pin(listener.serve(&cluster))));
    tokio::select! {
        (never, ..) = serving => match never {},
        ended = cluster.wait() => {
            ended?;
            Err(Failure::new(Exit::ABSENT, format!("cluster `{}` has ended", status.name)))
        }
        interrupted = interrupted() => interrupted.map(|()| Exit::OK).map_err(|error| Failure::io("watch signals", &error)),
    }
}

async fn interrupted() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// A port of this host that leads to a port of a node.
#[derive(Debug)]
struct LocalListener {
    listener: TcpListener,
    listen: SocketAddr,
    node: NodeId,
    port: u16,
}

/// A door as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    listen: SocketAddr,
    node: NodeId,
    port: u16,
}

impl LocalListener {
    async fn open(spec: &spec::Spec, status: &ClusterStatus) -> Result<Self, Failure> {
        let node = one(&spec.node, status)?.id;
        let refused = |error: io::Error| {
            let failure = Failure::io(format!("listen on {}", spec.listen), &error);
            match error.kind() {
                io::ErrorKind::AddrInUse => failure.with_exit(Exit::IN_USE).hint("port 0 means one that is free"),
                _ => failure,
            }
        };
        let listener = TcpListener::bind(spec.listen).await.map_err(refused)?;
        let listen = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, listen, node, port: spec.port })
    }

    /// Connects everybody who comes. One that cannot be connected is told of, and is no reason to stop.
    async fn serve(&self, cluster: &Cluster) -> std::convert::Infallible {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let (node, port) = (cluster.node(self.node), self.port);
                    tokio::spawn(async move {
                        if let Err(failure) = join(stream, node, port).await {
                            failure.context(format!("{from} is turned away")).print();
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely. Nothing tells when there are some again.
                    Failure::io(format!("accept a connection on {}", self.listen), &error).print();
                    sleep(AGAIN).await;
                }
            }
        }
    }
}

async fn join(mut here: TcpStream, node: Result<Node, Error>, port: u16) -> Result<(), Failure> {
    let mut there = connect(&node?, port).await?;
    // That either side has hung up is an end like any other.
    let _ = copy_bidirectional(&mut here, &mut there).await;
    Ok(())
}

fn show(listeners: &[LocalListener], json: bool) -> Result<(), Failure> {
    if json {
        let rows =
            listeners.iter().map(|listener| Row { listen: listener.listen, node: listener.node, port: listener.port });
        return print_json(&rows.collect::<Vec<_>>());
    }
    let lines = listeners
        .iter()
        .map(|listener| format!("{} leads to port {} of {}\n", listener.listen, listener.port, listener.node));
    print(&lines.collect::<String>())?;
    // Somebody who does not read it needs not.
    let _ = writeln!(stderr(), "Ctrl-C ends it.");
    Ok(())
}
