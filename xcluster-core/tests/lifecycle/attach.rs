//! Handles of a cluster that another process owns. The owner's control socket is the same within one process.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;

use xcluster_core::blocking;
use xcluster_core::net::HostAccess;
use xcluster_core::testing::{TestFailure, ensure};
use xcluster_core::{Cluster, Error, ErrorKind, Event, NodeState};

use super::ownership_marks::MarkingBackend;
use super::{Host, has};

/// A cluster of one node, and a handle that is attached to it.
pub(crate) struct Attached {
    pub(crate) host: Host,
    pub(crate) cluster: Cluster,
    owned: Cluster,
}

impl Attached {
    pub(crate) async fn new(configure: impl FnOnce(MarkingBackend) -> MarkingBackend) -> Result<Self, TestFailure> {
        let host = Host::new()?;
        let builder = host.cluster_on(configure(MarkingBackend::in_folder(&host.path("marks")))).nodes(1).routers(0);
        let owned = Cluster::start(builder.name("test")).await?;
        let cluster = Cluster::attach_under(host.path("clusters"), "test").await?;
        Ok(Self { host, cluster, owned })
    }

    /// Ends the owned cluster.
    pub(crate) async fn end(self) -> Result<Host, TestFailure> {
        self.owned.stop().await?;
        Ok(self.host)
    }
}

pub(crate) async fn an_attached_handle_that_is_dropped_leaves_the_cluster() -> Result<(), TestFailure> {
    let Attached { host, cluster, owned } = Attached::new(|backend| backend).await?;
    ensure(cluster.plan() == owned.plan() && cluster.folder() == owned.folder(), || format!("{cluster:?}"))?;
    drop(cluster);
    let states: Vec<NodeState> = owned.status().await?.nodes.iter().map(|node| node.state).collect();
    ensure(states == [NodeState::Ready], || format!("{states:?}"))?;
    Cluster::attach_under(host.path("clusters"), "test").await?.ready().await?;
    Ok(owned.stop().await?)
}

pub(crate) async fn an_attached_handle_stops_a_cluster_and_its_owner_learns_of_it() -> Result<(), TestFailure> {
    let Attached { host, cluster, owned } = Attached::new(|backend| backend).await?;
    let mut events = cluster.events();
    let mut last = events.next().await;
    cluster.stop().await?;
    for folder in ["marks", "clusters"] {
        let left: Vec<_> = std::fs::read_dir(host.path(folder))?.collect();
        ensure(left.is_empty(), || format!("{left:?}"))?;
    }
    owned.wait().await?;
    ensure(matches!(owned.status().await, Err(Error::Ended)), || "it has not ended".to_owned())?;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    ensure(last == Some(Event::Stopped), || format!("{last:?}"))
}

pub(crate) async fn a_cluster_whose_owner_has_ended_is_not_running() -> Result<(), TestFailure> {
    let Attached { host, cluster, owned } = Attached::new(|backend| backend).await?;
    let node = cluster.node(1)?;
    drop(owned);
    cluster.wait().await?;
    let Err(error) = node.exec("true").await else { return Err(TestFailure::new("there is an owner")) };
    ensure(error.kind() == ErrorKind::NotRunning, || format!("{error:?}"))?;
    has(&error.to_string(), "no cluster named `test` is running")?;
    let Err(error) = Cluster::attach_under(host.path("clusters"), "test").await else {
        return Err(TestFailure::new("it was attached to"));
    };
    ensure(error.kind() == ErrorKind::NotRunning, || format!("{error:?}"))
}

pub(crate) async fn an_attached_handle_needs_no_runtime() -> Result<(), TestFailure> {
    let attached = Attached::new(|backend| backend.reached(HERE)).await?;
    let base = attached.host.path("clusters");
    let thread = std::thread::spawn(move || {
        let cluster = blocking::Cluster::attach_under(base, "test")?;
        cluster.ready()?;
        let node = cluster.node(1)?;
        let mut console = node.console()?;
        let shown = futures::executor::block_on(console.next());
        let first = cluster.events().next();
        node.qmp("query-status", serde_json::Value::Null)?;
        Ok::<_, Error>((node.status()?.state, shown.is_some(), first.is_some(), node.address(22)?.is_some()))
    });
    let seen = thread.join().map_err(|_| TestFailure::new("a call panicked"))??;
    ensure(seen == (NodeState::Ready, true, true, true), || format!("{seen:?}"))?;
    attached.end().await.map(drop)
}

const HERE: HostAccess = HostAccess::Direct(IpAddr::V4(Ipv4Addr::LOCALHOST));

pub(crate) async fn a_connection_to_a_cluster_of_another_process_outlives_its_owner() -> Result<(), TestFailure> {
    let attached = Attached::new(|backend| backend.reached(HERE)).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut ours = attached.cluster.node(1)?.connect(listener.local_addr()?.port()).await?;
    attached.end().await?;
    let (mut theirs, _) = listener.accept()?;
    ours.write_all(b"hello")?;
    ours.shutdown(Shutdown::Write)?;
    let mut said = String::new();
    theirs.read_to_string(&mut said)?;
    ensure(said == "hello", || said)
}

pub(crate) async fn a_forward_leads_to_a_port_of_a_node_until_it_is_dropped() -> Result<(), TestFailure> {
    let attached = Attached::new(|backend| backend.reached(HERE)).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    for cluster in [&attached.cluster, &attached.owned] {
        let forward = cluster.node(1)?.forward(any, listener.local_addr()?.port()).await?;
        let mut ours = TcpStream::connect(forward.address())?;
        let (mut theirs, _) = listener.accept()?;
        theirs.write_all(b"hello")?;
        let mut said = [0; 5];
        ours.read_exact(&mut said)?;
        ensure(said == *b"hello", || format!("{said:?}"))?;
        drop(forward);
        ensure(ours.read(&mut said)? == 0, || "the connection goes on".to_owned())?;
    }
    attached.end().await.map(drop)
}

pub(crate) async fn a_port_where_nothing_listens_is_reported_by_the_owner() -> Result<(), TestFailure> {
    let attached = Attached::new(|backend| backend.reached(HERE)).await?;
    let Err(error) = attached.cluster.node(1)?.connect(9).await else {
        return Err(TestFailure::new("somebody listens"));
    };
    has(&format!("{error:?}"), "cannot connect to port 9 of vm-001\n  caused by: Connection refused")?;
    let Err(error) = attached.cluster.node(2) else { return Err(TestFailure::new("there is a node 2")) };
    has(&error.to_string(), "there is no node 2 in the cluster")?;
    attached.end().await.map(drop)
}

pub(crate) async fn a_program_runs_in_the_namespace_of_a_cluster_of_another_process() -> Result<(), TestFailure> {
    let attached = Attached::new(MarkingBackend::in_a_namespace).await?;
    let inside = attached.cluster.inside().await?.ok_or_else(|| TestFailure::new("there is no way into it"))?;
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
    attached.end().await.map(drop)
}

pub(crate) async fn a_cluster_without_a_namespace_has_no_way_into_it() -> Result<(), TestFailure> {
    let attached = Attached::new(|backend| backend).await?;
    ensure(attached.cluster.inside().await?.is_none(), || "there is one".to_owned())?;
    attached.end().await.map(drop)
}
