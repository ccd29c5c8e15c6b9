//! The numbers of the host: which cluster gets which, and the errors when they are taken. Each test has a network namespace,
//! in which the documented numbers are free.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{Net, NetBackend, NetError, Port};
use xcluster_core::testing::{TestContext, TestFailure, ensure};
use xcluster_net_user::{UserBackend, UserConfig};

xcluster_core::harness![
    two_clusters_have_different_numbers,
    a_cluster_that_ends_gives_its_numbers_free,
    clusters_without_common_nodes_share_the_documented_ports,
    one_taken_port_moves_its_group_of_forwards_and_no_other,
    a_foreign_listener_is_noticed,
    a_foreign_member_of_a_multicast_group_is_noticed,
    a_fixed_port_that_is_taken_is_an_error_that_names_the_process,
    a_fixed_port_of_a_cluster_is_an_error_that_names_it,
    a_fixed_group_of_a_cluster_is_an_error_that_names_it,
    a_failed_preflight_locks_nothing,
    chosen_ports_stay_bound_until_the_cluster_ends,
    documented_ports_give_way_to_fixed_ones,
    every_overlap_is_reported_at_once,
    ports_beyond_the_last_are_reported,
    nets_beyond_the_last_group_are_refused,
    nodes_can_be_added,
    a_port_that_preflight_did_not_see_is_an_error,
    every_bad_variable_is_reported_at_once,
    variables_are_read_as_the_shell_does,
];

/// A cluster with two nodes, on nets 0, 1 and 2, and the numbers it got.
struct Cluster {
    test_context: TestContext,
    backend: UserBackend,
    nodes: Vec<u16>,
}

impl Cluster {
    fn new(config: UserConfig) -> Result<Self, TestFailure> {
        Ok(Self { test_context: TestContext::new("numbers")?, backend: UserBackend::new(config), nodes: vec![1, 2] })
    }

    async fn started(config: UserConfig) -> Result<Self, TestFailure> {
        let cluster = Self::new(config)?;
        cluster.preflight().await?;
        Ok(cluster)
    }

    fn ports(&self) -> Vec<Port> {
        let port = |node: &u16, net: u8| {
            let expose = match (net, node) {
                (0, 1) => vec![23, 22, 8080, 6443],
                (0, _) => vec![23, 22],
                _ => vec![],
            };
            Port::new(NodeId::new(*node).expect("a node"), Net::new(NetId::new(net)), net).exposing(expose)
        };
        self.nodes.iter().flat_map(|node| (0..3).map(move |net| port(node, net))).collect()
    }

    async fn preflight(&self) -> Result<(), NetError> {
        let nets = [0, 1, 2].map(|net| Net::new(NetId::new(net)));
        self.backend.preflight(&self.test_context.context(), &nets, &self.ports()).await
    }

    /// The host's address for a TCP port of a node.
    async fn forward(&self, node: u16, port: u16) -> Result<u16, TestFailure> {
        let ports = self.ports();
        let internal = ports.iter().find(|p| p.node.number() == node && p.net.id == NetId::INTERNAL);
        let port_config =
            self.backend.setup(&self.test_context.context(), internal.expect("a port of the cluster")).await?;
        let host =
            port_config.access.tcp(port).ok_or_else(|| TestFailure::new(format!("no forward of port {port}")))?;
        ensure(host.ip().is_loopback(), || format!("{host} is not on loopback"))?;
        Ok(host.port())
    }

    /// The group of a net.
    async fn group(&self, net: u8) -> Result<String, TestFailure> {
        let ports = self.ports();
        let port = ports.iter().find(|port| port.net.id == NetId::new(net)).expect("a port of the cluster");
        let args = self.backend.setup(&self.test_context.context(), port).await?.kvm.to_string();
        let group = args.split("mcast=").nth(1).and_then(|rest| rest.split(',').next());
        group.map(str::to_owned).ok_or_else(|| TestFailure::new(format!("no group in {args}")))
    }

    async fn refused(config: UserConfig) -> Result<String, TestFailure> {
        Self::new(config)?.refusal().await
    }

    async fn refusal(&self) -> Result<String, TestFailure> {
        match self.preflight().await {
            Err(error) => Ok(error.to_string()),
            Ok(()) => Err(TestFailure::new("it is not refused")),
        }
    }
}

fn config(change: impl FnOnce(&mut UserConfig)) -> UserConfig {
    let mut config = UserConfig::default();
    change(&mut config);
    config
}

fn same<T: PartialEq + std::fmt::Debug>(actual: T, expected: T) -> Result<(), TestFailure> {
    ensure(actual == expected, || format!("{actual:?} instead of {expected:?}"))
}

fn me() -> String {
    format!("process {}", std::process::id())
}

async fn two_clusters_have_different_numbers() -> Result<(), TestFailure> {
    let (first, second) =
        (Cluster::started(UserConfig::default()).await?, Cluster::started(UserConfig::default()).await?);
    for (port, documented) in [(23, 12001), (22, 12301), (8080, 18080), (6443, 7443)] {
        same(first.forward(1, port).await?, documented)?;
        let other = second.forward(1, port).await?;
        ensure(other != documented, || format!("both have {documented}"))?;
    }
    same(first.group(2).await?.as_str(), "224.0.0.122:27030")?;
    same(second.group(2).await?.as_str(), "224.0.0.122:27031")
}

async fn a_cluster_that_ends_gives_its_numbers_free() -> Result<(), TestFailure> {
    drop(Cluster::started(UserConfig::default()).await?);
    let next = Cluster::started(UserConfig::default()).await?;
    same(next.forward(1, 23).await?, 12001)?;
    same(next.group(1).await?.as_str(), "224.0.0.121:27030")
}

async fn clusters_without_common_nodes_share_the_documented_ports() -> Result<(), TestFailure> {
    let first = Cluster::started(UserConfig::default()).await?;
    let mut second = Cluster::new(UserConfig::default())?;
    second.nodes = vec![10, 11];
    second.preflight().await?;
    same((first.forward(2, 22).await?, second.forward(11, 22).await?), (12302, 12311))
}

async fn one_taken_port_moves_its_group_of_forwards_and_no_other() -> Result<(), TestFailure> {
    let _stranger = TcpListener::bind("127.0.0.1:12302")?;
    let cluster = Cluster::started(UserConfig::default()).await?;
    let ssh = (cluster.forward(1, 22).await?, cluster.forward(2, 22).await?);
    ensure(ssh.0 != 12301 && ssh.1 != 12302, || format!("ssh is at {ssh:?}"))?;
    same((cluster.forward(1, 23).await?, cluster.forward(2, 23).await?), (12001, 12002))
}

/// A listener on all addresses also takes ours.
async fn a_foreign_listener_is_noticed() -> Result<(), TestFailure> {
    let _stranger = TcpListener::bind("0.0.0.0:12001")?;
    let cluster = Cluster::started(UserConfig::default()).await?;
    let telnet = cluster.forward(1, 23).await?;
    ensure(telnet != 12001, || "telnet is where somebody else listens".to_owned())
}

async fn a_foreign_member_of_a_multicast_group_is_noticed() -> Result<(), TestFailure> {
    let _stranger = UdpSocket::bind("224.0.0.122:27030")?;
    let cluster = Cluster::started(UserConfig::default()).await?;
    same(cluster.group(1).await?.as_str(), "224.0.0.121:27031")
}

async fn a_fixed_port_that_is_taken_is_an_error_that_names_the_process() -> Result<(), TestFailure> {
    let foreign_objects = TcpListener::bind("127.0.0.1:0")?;
    let port = foreign_objects.local_addr()?.port();
    let said = Cluster::refused(config(|config| config.telnet_base = Some(port - 2))).await?;
    ensure(said.starts_with(&format!("port 127.0.0.1:{port} is in use by {} (", me())), || said.clone())
}

async fn a_fixed_port_of_a_cluster_is_an_error_that_names_it() -> Result<(), TestFailure> {
    let fixed = config(|config| config.k8s_port = Some(18080));
    let _first = Cluster::started(UserConfig::default()).await?;
    let said = Cluster::refused(fixed).await?;
    same(said, format!("port 127.0.0.1:18080 is in use by the cluster of {}", me()))
}

async fn a_fixed_group_of_a_cluster_is_an_error_that_names_it() -> Result<(), TestFailure> {
    let _first = Cluster::started(UserConfig::default()).await?;
    let said = Cluster::refused(config(|config| config.mcast_base = Some(121))).await?;
    same(said, format!("multicast group 224.0.0.122:27030 is in use by the cluster of {}", me()))
}

async fn a_failed_preflight_locks_nothing() -> Result<(), TestFailure> {
    let foreign_objects = UdpSocket::bind("224.0.0.142:27030")?;
    let fixed = config(|config| config.mcast_base = Some(140));
    let failed = Cluster::new(fixed.clone())?;
    failed.refusal().await?;
    let other = Cluster::started(UserConfig::default()).await?;
    same(other.forward(1, 23).await?, 12001)?;
    drop(foreign_objects);
    same(Cluster::started(fixed).await?.group(2).await?.as_str(), "224.0.0.142:27030")
}

/// Neither a connection nor an ordinary listener gets them. QEMU does, since it shares addresses.
async fn chosen_ports_stay_bound_until_the_cluster_ends() -> Result<(), TestFailure> {
    let cluster = Cluster::started(UserConfig::default()).await?;
    let address: SocketAddr = ([127, 0, 0, 1], cluster.forward(1, 23).await?).into();
    let foreign_objects = tokio::net::TcpSocket::new_v4()?;
    ensure(foreign_objects.bind(address).is_err(), || format!("somebody else got {address}"))?;
    let qemu = tokio::net::TcpSocket::new_v4()?;
    qemu.set_reuseaddr(true)?;
    qemu.bind(address)?;
    let listening = qemu.listen(1)?;
    drop((listening, cluster));
    Ok(tokio::net::TcpSocket::new_v4()?.bind(address)?)
}

async fn documented_ports_give_way_to_fixed_ones() -> Result<(), TestFailure> {
    let cluster = Cluster::started(config(|config| config.telnet_base = Some(12300))).await?;
    same(cluster.forward(1, 23).await?, 12301)?;
    let ssh = cluster.forward(1, 22).await?;
    ensure(ssh != 12301 && ssh != 12302, || format!("ssh is at {ssh}"))
}

async fn every_overlap_is_reported_at_once() -> Result<(), TestFailure> {
    let mut cluster = Cluster::new(config(|config| {
        config.telnet_base = Some(20000);
        config.ssh_base = Some(20001);
        config.k8s_port = Some(20004);
    }))?;
    cluster.nodes = vec![1, 2, 3];
    same(
        cluster.refusal().await?.as_str(),
        "port 20002 of the host is wanted for port 23 of vm-002 and for port 22 of vm-001; \
         port 20003 of the host is wanted for port 23 of vm-003 and for port 22 of vm-002; \
         port 20004 of the host is wanted for port 22 of vm-003 and for port 8080 of vm-001",
    )
}

async fn ports_beyond_the_last_are_reported() -> Result<(), TestFailure> {
    let said = Cluster::refused(config(|config| config.ssh_base = Some(65534))).await?;
    same(said.as_str(), "port 22 of vm-002 would be on port 65536 of the host, and the last port is 65535")
}

async fn nets_beyond_the_last_group_are_refused() -> Result<(), TestFailure> {
    let (test_context, backend) = (TestContext::new("numbers")?, UserBackend::default());
    let nets = [135, 136, 255].map(|net| Net::new(NetId::new(net)));
    let said =
        backend.preflight(&test_context.context(), &nets, &[]).await.expect_err("nets without a group").to_string();
    same(
        said.as_str(),
        "net 136 would be the multicast group 224.0.0.256, and the last is 224.0.0.255; \
         net 255 would be the multicast group 224.0.0.375, and the last is 224.0.0.255",
    )
}

async fn nodes_can_be_added() -> Result<(), TestFailure> {
    let mut cluster = Cluster::started(UserConfig::default()).await?;
    let before = (cluster.forward(1, 23).await?, cluster.group(1).await?);
    cluster.nodes.push(3);
    cluster.preflight().await?;
    same((cluster.forward(1, 23).await?, cluster.group(1).await?), before)?;
    same(cluster.forward(3, 23).await?, 12003)
}

async fn a_port_that_preflight_did_not_see_is_an_error() -> Result<(), TestFailure> {
    let cluster = Cluster::new(UserConfig::default())?;
    let said = cluster.forward(1, 23).await.expect_err("a port without numbers").to_string();
    same(said.as_str(), "no numbers were chosen for vm-001 on net 0: preflight did not name it")
}

async fn every_bad_variable_is_reported_at_once() -> Result<(), TestFailure> {
    let variable = |name: &str| match name {
        "XCLUSTER_TELNET_BASE" => Some("x".to_owned()),
        "XCLUSTER_SSH_BASE" => Some("65300".to_owned()),
        "XCLUSTER_K8S_PORT" => Some("0".to_owned()),
        "XCLUSTER_MCAST_BASE" => Some("256".to_owned()),
        _ => None,
    };
    let said = UserConfig::from_vars(variable).expect_err("bad variables").to_string();
    same(
        said.as_str(),
        "XCLUSTER_TELNET_BASE is `x`, but takes a number from 1 to 65295; \
         XCLUSTER_SSH_BASE is `65300`, but takes a number from 1 to 65295; \
         XCLUSTER_K8S_PORT is `0`, but takes a number from 1 to 65535; \
         XCLUSTER_MCAST_BASE is `256`, but takes a number from 1 to 255",
    )
}

async fn variables_are_read_as_the_shell_does() -> Result<(), TestFailure> {
    let variable = |name: &str| match name {
        "XCLUSTER_TELNET_BASE" => Some("13000".to_owned()),
        "XCLUSTER_SSH_BASE" => Some(String::new()),
        _ => None,
    };
    same(UserConfig::from_vars(variable)?, config(|config| config.telnet_base = Some(13000)))
}
