//! A guest with the base image alone: its identity comes from a kernel arg, without overlay and logins.

use async_trait::async_trait;
use xcluster_core::Cluster;
use xcluster_core::net::{BackendContext, Capabilities, KvmArgs, Net, NetBackend, NetError, Port, PortConfig};
use xcluster_core::plan::{Identity, Options};
use xcluster_core::topology::NetKind;
use xcluster_net_user::UserBackend;

use crate::harness::{attempt, expectations, run, scenario};

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_node_is_named_and_otherwise_left_alone() {
    let mut options = Options::default();
    options.identity = Identity::Kernel;
    options.configure = false;
    options.login = false;
    let builder = Cluster::builder().backend(OtherMacs::default()).options(options).nodes(1);
    scenario(builder, async |cluster| {
        expectations!(cluster;
            a_node_has_the_number_that_the_kernel_is_told,
            nets_other_than_the_internal_one_are_down_and_without_address,
            neither_telnet_nor_ssh_answers,
        );
    })
    .await;
}

async fn a_node_has_the_number_that_the_kernel_is_told(cluster: &Cluster) {
    let mac = run(cluster, 1, "cat /sys/class/net/eth0/address").await;
    assert_eq!(mac, format!("{OTHER}:01"), "the backend did choose another address");
    assert_eq!(run(cluster, 1, "hostname").await, "vm-001");
    assert!(run(cluster, 1, "ip -br -4 address show eth0").await.contains(" 192.168.0.1/24"));
}

async fn nets_other_than_the_internal_one_are_down_and_without_address(cluster: &Cluster) {
    let nic = run(cluster, 1, "ip address show eth1").await;
    assert!(nic.contains("state DOWN") && !nic.contains("inet"), "{nic}");
    assert_eq!(run(cluster, 1, "ip -4 route show default").await, "");
}

async fn neither_telnet_nor_ssh_answers(cluster: &Cluster) {
    for port in [22, 23] {
        assert_eq!(cluster.node(1).unwrap().address(port).await.unwrap(), None);
    }
    let listening = attempt(cluster, 1, "netstat -ltn | grep LISTEN").await;
    assert_eq!(listening.text(), "");
}

/// The start of the addresses of [`OtherMacs`].
const OTHER: &str = "52:54:00:12:34";

/// A network that chooses hardware addresses itself.
#[derive(Debug, Default)]
struct OtherMacs(UserBackend);

#[async_trait]
impl NetBackend for OtherMacs {
    fn name(&self) -> &str {
        "other-macs"
    }

    fn capabilities(&self, kind: NetKind) -> Capabilities {
        self.0.capabilities(kind)
    }

    async fn preflight(&self, context: &BackendContext<'_>, nets: &[Net], ports: &[Port]) -> Result<(), NetError> {
        self.0.preflight(context, nets, ports).await
    }

    async fn create_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        self.0.create_net(context, net).await
    }

    async fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        let port_config = self.0.setup(context, port).await?;
        let (usual, other) = (port.mac.to_string(), format!("{OTHER}:{:02x}", port.nic + 1));
        let args = port_config.kvm.args().iter().map(|arg| arg.replace(&usual, &other));
        Ok(PortConfig::new(KvmArgs::from_args(args), port_config.access))
    }

    async fn teardown(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        self.0.teardown(context, port).await
    }

    async fn delete_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        self.0.delete_net(context, net).await
    }
}
