//! What a start will do, pinned as text; and why some clusters are refused before anything is touched.

use xcluster_core::Builder;
use xcluster_core::name::{NetId, NodeId, Role};
use xcluster_core::net::{Capabilities, Net, NetBackend, NetError, Port, Site, VmToVm, Wired};
use xcluster_core::plan::{GuestSource, Identity, Options, Readiness};
use xcluster_core::topology::{NetKind, Topology};

/// A backend on paper: plans only ask for its name and what it can do.
#[derive(Debug)]
struct Paper {
    name: &'static str,
    vm_to_vm: VmToVm,
    mtu_max: u16,
}

#[async_trait::async_trait]
impl NetBackend for Paper {
    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self, kind: NetKind) -> Capabilities {
        let mut capabilities = Capabilities::joining(self.vm_to_vm, self.mtu_max);
        capabilities.host_access = kind == NetKind::Internal;
        capabilities
    }

    async fn preflight(&self, _: &Site<'_>, _: &[Net], _: &[Port]) -> Result<(), NetError> {
        unreachable!("a plan touches nothing")
    }

    async fn create_net(&self, _: &Site<'_>, _: &Net) -> Result<(), NetError> {
        unreachable!("a plan touches nothing")
    }

    async fn setup(&self, _: &Site<'_>, _: &Port) -> Result<Wired, NetError> {
        unreachable!("a plan touches nothing")
    }

    async fn teardown(&self, _: &Site<'_>, _: &Port) -> Result<(), NetError> {
        unreachable!("a plan touches nothing")
    }

    async fn delete_net(&self, _: &Site<'_>, _: &Net) -> Result<(), NetError> {
        unreachable!("a plan touches nothing")
    }
}

const HUB: Paper = Paper { name: "hub", vm_to_vm: VmToVm::Hub, mtu_max: 1500 };
const SWITCH: Paper = Paper { name: "switch", vm_to_vm: VmToVm::Switch, mtu_max: 9000 };
const MUTE: Paper = Paper { name: "mute", vm_to_vm: VmToVm::None, mtu_max: 1500 };

fn builder() -> Builder {
    Builder::new().name("golden").backend(SWITCH).backend(HUB).backend(MUTE)
}

fn node(number: u16) -> NodeId {
    NodeId::new(number).unwrap()
}

fn refusal(builder: &Builder) -> String {
    builder.plan().expect_err("the plan is refused").to_string()
}

#[test]
fn the_default_cluster() {
    insta::assert_snapshot!(builder().testers(1).plan().unwrap());
}

#[test]
fn the_default_cluster_as_json() {
    let plan = builder().nodes(1).routers(0).plan().unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&plan).unwrap());
}

#[test]
fn five_nets_in_any_order_with_exceptions() {
    let text = r#"
        mtu = 9000
        [net.1]
        backend = "hub"
        [net.4]
        mtu = 2000
        [role.nodes]
        count = 2
        nets = [0, 3, 1, 4]
        [role.routers]
        count = 1
        nets = [0, 2, 1]
        [node.2]
        memory = 384
        cpus = 4
        kernel_args = "debug"
        expose = [80]
        [node.201]
        bridges = [[1, 2]]
    "#;
    let mut options = Options::default();
    options.guest = GuestSource::Kernel { kernel: Some("/images/bzImage".into()), initramfs: None };
    options.ready = Some(Readiness::Console("login:".to_owned()));
    options.identity = Identity::Kernel;
    options.login = false;
    options.configure = false;
    let builder = builder().topology(Topology::from_toml(text).unwrap()).options(options);
    insta::assert_snapshot!(builder.plan().unwrap());
}

#[test]
fn guests_that_bridge_two_hubs_are_refused() {
    let mut topology = Topology::default();
    topology.role_mut(Role::Routers).bridges = Some(vec![vec![NetId::CLUSTER, NetId::EXTERNAL]]);
    let on_switch = builder().topology(topology.clone());
    on_switch.plan().unwrap();
    let mut options = Options::default();
    options.backend = Some("hub".to_owned());
    insta::assert_snapshot!(refusal(&on_switch.options(options)));
}

#[test]
fn everything_that_a_backend_cannot_carry_is_said_at_once() {
    let text = r#"
        [net.0]
        backend = "hubb"
        [net.1]
        backend = "mute"
        [net.2]
        backend = "hub"
        mtu = 9000
    "#;
    insta::assert_snapshot!(refusal(&builder().topology(Topology::from_toml(text).unwrap())));
}

#[test]
fn what_a_disk_image_cannot_be_given_is_refused_at_once() {
    let mut topology = Topology::default();
    topology.node_mut(node(2)).kernel_args = Some("debug".to_owned());
    let disk = builder().topology(topology).guest(GuestSource::Disk { image: "/images/router.qcow2".into() });
    let mut options = Options::default();
    options.identity = Identity::Kernel;
    options.login = false;
    options.overlays = vec!["/overlays/own".into()];
    options.guest = GuestSource::Disk { image: "/images/router.qcow2".into() };
    insta::assert_snapshot!(refusal(&disk.options(options)));
}

#[test]
fn a_guest_of_ones_own_configures_its_nets_itself() {
    let plan = |guest| builder().guest(guest).plan().unwrap().to_string();
    let said = "left unconfigured in the guests";
    let (kernel, initramfs) = (Some("/images/bzImage".into()), Some("/images/initrd".into()));
    assert!(plan(GuestSource::Disk { image: "/images/router.qcow2".into() }).contains(said));
    assert!(plan(GuestSource::Kernel { kernel: kernel.clone(), initramfs }).contains(said));
    assert!(!plan(GuestSource::Kernel { kernel, initramfs: None }).contains(said));
}

#[test]
fn an_unknown_backend_is_said_once_with_those_that_exist() {
    let mut options = Options::default();
    options.backend = Some("ovs".to_owned());
    insta::assert_snapshot!(refusal(&builder().options(options)));
    insta::assert_snapshot!(refusal(&Builder::new()));
}

#[test]
fn mistakes_of_the_builder_come_with_those_of_the_topology() {
    let wrong = builder().name("A/B").backend(HUB).nodes(201);
    insta::assert_snapshot!(refusal(&wrong));
}

#[test]
fn two_hundred_nodes_fit_a_plan() {
    let plan = builder().nodes(200).routers(20).testers(20).plan().unwrap();
    assert_eq!(plan.nodes.len(), 240);
    let last = plan.node(node(200)).unwrap();
    assert_eq!(last.nics[1].mac.to_string(), "00:00:00:01:01:c8");
    assert_eq!(last.node.routes[0].via.len(), 20);
}
