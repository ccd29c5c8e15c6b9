//! What a start will do, pinned as text; and why some clusters are refused before anything is touched.

use xcluster_core::Builder;
use xcluster_core::name::{NetId, NodeId, Role};
use xcluster_core::net::{BackendContext, Capabilities, Net, NetBackend, NetError, Port, PortConfig, Registry, VmToVm};
use xcluster_core::plan::{Accel, GuestSource, Identity, NodeBoot, Options, Plan, Readiness};
use xcluster_core::topology::{NetKind, Topology};

/// A backend that does nothing: plans only ask for its name and what it can do.
#[derive(Debug)]
struct NoopBackend {
    name: &'static str,
    vm_to_vm: VmToVm,
    mtu_max: u16,
}

#[async_trait::async_trait]
impl NetBackend for NoopBackend {
    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self, kind: NetKind) -> Capabilities {
        let mut capabilities = Capabilities::joining(self.vm_to_vm, self.mtu_max);
        capabilities.host_access = kind == NetKind::Internal;
        capabilities
    }

    async fn preflight(&self, _: &BackendContext<'_>, _: &[Net], _: &[Port]) -> Result<(), NetError> {
        unreachable!("a plan touches nothing")
    }

    async fn create_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        unreachable!("a plan touches nothing")
    }

    async fn setup(&self, _: &BackendContext<'_>, _: &Port) -> Result<PortConfig, NetError> {
        unreachable!("a plan touches nothing")
    }

    async fn teardown(&self, _: &BackendContext<'_>, _: &Port) -> Result<(), NetError> {
        unreachable!("a plan touches nothing")
    }

    async fn delete_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        unreachable!("a plan touches nothing")
    }
}

const HUB: NoopBackend = NoopBackend { name: "hub", vm_to_vm: VmToVm::Hub, mtu_max: 1500 };
const SWITCH: NoopBackend = NoopBackend { name: "switch", vm_to_vm: VmToVm::Switch, mtu_max: 9000 };
const MUTE: NoopBackend = NoopBackend { name: "mute", vm_to_vm: VmToVm::None, mtu_max: 1500 };

fn backends() -> Builder {
    Builder::new().name("golden").backend(SWITCH).backend(HUB).backend(MUTE)
}

/// The default cluster.
fn builder() -> Builder {
    backends().topology(Topology::default())
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
        [role.workers]
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
fn everything_that_a_backend_cannot_carry_is_reported_at_once() {
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
fn an_unknown_backend_is_reported_once_with_those_that_exist() {
    let mut options = Options::default();
    options.backend = Some("ovs".to_owned());
    insta::assert_snapshot!(refusal(&builder().options(options)));
    insta::assert_snapshot!(refusal(&Builder::new().topology(Topology::default())));
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

fn numbers(plan: &Plan) -> Vec<u16> {
    plan.nodes.iter().map(|planned| planned.node.id.number().into()).collect()
}

#[test]
fn without_a_topology_only_nodes_that_are_asked_for_exist() {
    assert_eq!(numbers(&backends().nodes(2).plan().unwrap()), [1, 2]);
    assert_eq!(numbers(&backends().testers(1).workers(1).plan().unwrap()), [1, 221]);
    assert!(refusal(&backends()).contains("there is no node at all"));
}

#[test]
fn settings_count_in_any_order() {
    let mut topology = Topology::default();
    (topology.roles.workers.count, topology.roles.routers.count) = (Some(3), Some(1));
    topology.roles.testers.ids = Some(vec![node(230)]);
    let first = backends().routers(0).testers(1).memory(300).accel(Accel::Tcg).topology(topology.clone());
    let last = backends().options(Options::default()).topology(topology).routers(0).testers(1).memory(300);
    let (first, last) = (first.options(Options::default()).plan().unwrap(), last.accel(Accel::Tcg).plan().unwrap());
    assert_eq!(first, last);
    assert_eq!((numbers(&first), first.options.accel), (vec![1, 2, 3, 221], Accel::Tcg));
    assert!(first.nodes.iter().all(|planned| planned.node.memory == 300));
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    for backend in [SWITCH, HUB, MUTE] {
        registry.add(std::sync::Arc::new(backend) as std::sync::Arc<dyn NetBackend>).unwrap();
    }
    registry
}

fn default_plan() -> Plan {
    builder().plan().unwrap()
}

#[test]
fn a_node_as_it_is_planned_changes_no_plan() {
    let plan = default_plan();
    assert_eq!(plan.with_node(&NodeBoot::new(node(3)), &registry()).unwrap(), plan);
}

#[test]
fn a_node_that_comes_to_a_plan_is_as_its_role_has_it_but_for_what_is_said() {
    let boot = NodeBoot::new(node(203)).nets([0, 2, 5]).memory(256).expose([80]).qemu_args(["-snapshot"]);
    let plan = default_plan().with_node(&boot, &registry()).unwrap();
    assert_eq!(plan.node_numbers(), "1–4 201–203");
    let planned = plan.node(node(203)).unwrap();
    let names: Vec<String> = planned.nics.iter().map(|nic| format!("{} {}", nic.name, nic.ipv4)).collect();
    assert_eq!(names, ["eth0 192.168.0.203/24", "eth1 192.168.2.203/24", "eth2 192.168.5.203/24"]);
    assert_eq!((planned.node.memory, planned.node.cpus, planned.node.forward), (256, 2, true));
    assert_eq!(plan.options.node_qemu_args[&node(203)], ["-snapshot"]);
    assert_eq!(plan.net(NetId::new(5)).unwrap().backend, "switch");
    assert!(planned.nics[0].port.expose.contains(&80));
}

#[test]
fn nodes_have_routes_over_a_router_that_comes_later() {
    let before = default_plan();
    let after = before.with_node(&NodeBoot::new(node(203)), &registry()).unwrap();
    let hops = |plan: &Plan| plan.node(node(1)).unwrap().node.routes[0].via.len();
    assert_eq!((hops(&before), hops(&after)), (2, 3));
}

#[test]
fn a_net_that_nobody_is_on_any_more_stays() {
    let five = default_plan().with_node(&NodeBoot::new(node(7)).nets([0, 5]), &registry()).unwrap();
    let left = five.with_node(&NodeBoot::new(node(7)).nets([0]), &registry()).unwrap();
    assert_eq!(left.nets, five.nets);
}

#[test]
fn everything_that_is_wrong_with_a_node_is_reported_at_once() {
    let mut boot = NodeBoot::new(node(7)).nets([1, 1]).memory(1).cpus(0).kernel_args("a\nb").expose([0]);
    boot.spec.bridges = Some(vec![vec![NetId::new(9), NetId::new(8)]]);
    let problems = default_plan().with_node(&boot, &registry()).unwrap_err();
    insta::assert_snapshot!(problems);
}

#[test]
fn a_node_that_would_bridge_two_hubs_does_not_come_to_a_plan() {
    let mut options = Options::default();
    options.backend = Some("hub".to_owned());
    let plan = builder().options(options).plan().unwrap();
    let mut boot = NodeBoot::new(node(7)).nets([0, 1, 2]);
    boot.spec.bridges = Some(vec![vec![NetId::new(1), NetId::new(2)]]);
    let problems = plan.with_node(&boot, &registry()).unwrap_err().to_string();
    assert!(problems.contains("each frame would circle for ever"), "{problems}");
}

#[test]
fn a_node_to_be_booted_survives_its_form() {
    let boot = NodeBoot::new(node(7)).nets([0, 1]).qemu_args(["-s"]);
    let text = serde_json::to_string(&boot).unwrap();
    assert_eq!(serde_json::from_str::<NodeBoot>(&text).unwrap(), boot);
    assert_eq!(serde_json::from_str::<NodeBoot>(r#"{"node": 7}"#).unwrap(), NodeBoot::new(node(7)));
}
