//! A cluster as another process uses it: what its owner hands over on the control socket.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use xcluster_core::net::HostAccess;
use xcluster_core::remote::{self, Remote};
use xcluster_core::testing::{TestFailure, ensure};
use xcluster_core::{Cluster, Error};

use super::ownership_marks::MarkingBackend;
use super::{Host, has, node};

/// A cluster of one node that is served, and the other side.
pub(crate) struct Served {
    pub(crate) host: Host,
    pub(crate) remote: Remote,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), Error>>,
}

impl Served {
    pub(crate) async fn new(port_config: impl FnOnce(MarkingBackend) -> MarkingBackend) -> Result<Self, TestFailure> {
        let host = Host::new()?;
        let builder = host.cluster_on(port_config(MarkingBackend::in_folder(&host.path("marks")))).nodes(1).routers(0);
        let cluster = Arc::new(Cluster::start(builder.name("lab")).await?);
        let (stop, stopped) = oneshot::channel::<()>();
        let name = cluster.name().clone();
        let mut served = Box::pin(remote::serve(cluster, async { drop(stopped.await) }));
        // It listens once it waits for something.
        ensure(futures::poll!(&mut served).is_pending(), || "it does not wait".to_owned())?;
        let served = tokio::task::spawn_local(served);
        let remote = Remote::attach_under(&host.path("clusters"), &name)?;
        Ok(Self { host, remote, stop, served })
    }

    pub(crate) async fn end(self) -> Result<Host, TestFailure> {
        drop(self.stop);
        self.served.await.map_err(|error| TestFailure::new(error.to_string()))??;
        Ok(self.host)
    }
}

const HERE: HostAccess = HostAccess::Direct(IpAddr::V4(Ipv4Addr::LOCALHOST));

pub(crate) async fn a_connection_to_a_cluster_of_another_process_outlives_its_owner() -> Result<(), TestFailure> {
    let served = Served::new(|backend| backend.reached(HERE)).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut ours = served.remote.connect(node(1), listener.local_addr()?.port()).await?;
    served.end().await?;
    let (mut theirs, _) = listener.accept()?;
    ours.write_all(b"hello")?;
    ours.shutdown(Shutdown::Write)?;
    let mut said = String::new();
    theirs.read_to_string(&mut said)?;
    ensure(said == "hello", || said)
}

pub(crate) async fn a_port_that_nobody_listens_on_is_told_by_the_owner() -> Result<(), TestFailure> {
    let served = Served::new(|ownership_marks| ownership_marks.reached(HERE)).await?;
    let Err(error) = served.remote.connect(node(1), 9).await else { return Err(TestFailure::new("somebody listens")) };
    has(&format!("{error:?}"), "cannot connect to port 9 of vm-001\n  caused by: Connection refused")?;
    let Err(error) = served.remote.connect(node(2), 9).await else { return Err(TestFailure::new("there is a node 2")) };
    has(&error.to_string(), "there is no node 2 in the cluster")?;
    served.end().await.map(drop)
}

pub(crate) async fn a_program_runs_in_the_namespace_of_a_cluster_of_another_process() -> Result<(), TestFailure> {
    let served = Served::new(MarkingBackend::in_a_namespace).await?;
    let inside = served.remote.inside().await?.ok_or_else(|| TestFailure::new("there is no way into it"))?;
    let mut command = Command::new("sh");
    // To take a link up or down takes a privilege, which nobody has outside.
    command.args(["-c", "readlink /proc/self/ns/net; id -u; ip link set lo down && ip -o link"]).process_group(0);
    inside.enter(&mut command);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let ours = std::fs::read_link("/proc/thread-self/ns/net")?;
    ensure(output.status.success(), || format!("{output:?}"))?;
    ensure(!said.contains(&*ours.to_string_lossy()), || format!("it is in our namespace: {said}"))?;
    has(&said, &format!("\n{}\n", nix::unistd::getuid()))?;
    has(&said, "1: lo: <LOOPBACK>")?;
    served.end().await.map(drop)
}

pub(crate) async fn a_cluster_without_a_namespace_has_no_way_into_it() -> Result<(), TestFailure> {
    let served = Served::new(|ownership_marks| ownership_marks).await?;
    ensure(served.remote.inside().await?.is_none(), || "there is one".to_owned())?;
    served.end().await.map(drop)
}
