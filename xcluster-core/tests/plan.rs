//! Golden texts of plans, and the problems for which a plan is refused.

use xcluster_core::Builder;
use xcluster_core::name::{NetId, NodeId, Role};
use xcluster_core::net::{BackendContext, Capabilities, Net, NetBackend, NetError, Port, PortConfig, Registry, VmToVm};
use xcluster_core::plan::{Accel, GuestSource, Identity, NodeBoot, Options, Plan, Readiness};
use xcluster_core::topology::{NetKind, Topology};

/// A backend that does nothing: a plan only uses its name and capabilities.
#[derive(Debug)]
struct NoopBackend {
    name: &'static str,
    vm_to_vm: VmToVm,
    mtu_max: u16,
    max_ports: Option<usize>,
}

#[async_trait::async_trait]
impl NetBackend for NoopBackend {
    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self, kind: NetKind) -> Capabilities {
        let mut capabilities = Capabilities::joining(self.vm_to_vm, self.mtu_max);
        capabilities.max_ports = self.max_ports;
        capabilities.host_access = kind == NetKind::Internal;
        capabilities
    }

    async fn preflight(&self, _: &BackendContext<'_>, _: &[Net], _: &[Port]) -> Result<(), NetError> {
        unreachable!("a plan has no effects")
    }

    async fn create_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        unreachable!("a plan has no effects")
    }

    async fn setup(&self, _: &BackendContext<'_>, _: &Port) -> Result<PortConfig, NetError> {
        unreachable!("a plan has no effects")
    }

    async fn teardown(&self, _: &BackendContext<'_>, _: &Port) -> Result<(), NetError> {
        unreachable!("a plan has no effects")
    }

    async fn delete_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        unreachable!("a plan has no effects")
    }
}

const HUB: NoopBackend = NoopBackend { name: "hub", vm_to_vm: VmToVm::Hub, mtu_max: 1500, max_ports: None };
const SWITCH: NoopBackend = NoopBackend { name: "switch", vm_to_vm: VmToVm::Switch, mtu_max: 9000, max_ports: None };
const MUTE: NoopBackend = NoopBackend { name: "mute", vm_to_vm: VmToVm::None, mtu_max: 1500, max_ports: None };
const CABLE: NoopBackend = NoopBackend { name: "cable", vm_to_vm: VmToVm::Switch, mtu_max: 1500, max_ports: Some(2) };

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
    builder.plan().expect_err("the plan should be refused").to_string()
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
fn a_net_with_more_nodes_than_its_backend_has_ports_is_refused() {
    let on_net_1 = |backend: &str| {
        let topology = Topology::from_toml(&format!("net.1.backend = '{backend}'")).unwrap();
        builder().backend(CABLE).topology(topology).nodes(2)
    };
    assert!(on_net_1("cable").routers(0).plan().is_ok());
    assert_eq!(
        refusal(&on_net_1("cable").routers(1)),
        "net.1.backend: backend `cable` carries at most 2 nodes on a net, and 3 are on this net: vm-001, vm-002, vm-201"
    );
    let plan = on_net_1("cable").routers(0).plan().unwrap();
    let mut backends = registry();
    backends.add(std::sync::Arc::new(CABLE) as std::sync::Arc<dyn NetBackend>).unwrap();
    let problems = plan.with_node(&NodeBoot::new(node(3)).nets([NetId::INTERNAL, NetId::CLUSTER]), &backends);
    assert!(problems.unwrap_err().to_string().ends_with("vm-001, vm-002, vm-003"));
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
fn options_that_a_disk_image_cannot_have_are_refused_at_once() {
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
fn the_nets_of_a_users_guest_are_not_configured() {
    let plan = |guest| builder().guest(guest).plan().unwrap().to_string();
    let note = "only the internal net is configured";
    let (kernel, initramfs) = (Some("/images/bzImage".into()), Some("/images/initrd".into()));
    assert!(plan(GuestSource::Disk { image: "/images/router.qcow2".into() }).contains(note));
    assert!(plan(GuestSource::Kernel { kernel: kernel.clone(), initramfs }).contains(note));
    assert!(!plan(GuestSource::Kernel { kernel, initramfs: None }).contains(note));
}

#[test]
fn an_unknown_backend_is_reported_once_with_those_that_exist() {
    let mut options = Options::default();
    options.backend = Some("ovs".to_owned());
    insta::assert_snapshot!(refusal(&builder().options(options)));
    insta::assert_snapshot!(refusal(&Builder::new().topology(Topology::default())));
}

#[test]
fn problems_of_the_builder_and_the_topology_are_reported_together() {
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
    plan.nodes.iter().map(|planned| planned.node.id.number()).collect()
}

#[test]
fn without_a_topology_only_nodes_that_are_asked_for_exist() {
    assert_eq!(numbers(&backends().nodes(2).plan().unwrap()), [1, 2]);
    assert_eq!(numbers(&backends().testers(1).workers(1).plan().unwrap()), [1, 221]);
    assert!(refusal(&backends()).contains("the topology has no nodes"));
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
fn a_node_without_changes_does_not_change_the_plan() {
    let plan = default_plan();
    assert_eq!(plan.with_node(&NodeBoot::new(node(3)), &registry()).unwrap(), plan);
}

#[test]
fn a_new_node_has_the_settings_of_its_role_and_its_own_changes() {
    let boot = NodeBoot::new(node(203)).nets([0, 2, 5]).memory(256).expose([80]).qemu_args(["-snapshot"]);
    let plan = default_plan().with_node(&boot, &registry()).unwrap();
    assert_eq!(plan.node_numbers(), "1–4 201–203");
    let planned = plan.node(node(203)).unwrap();
    let names: Vec<String> = planned.nics.iter().map(|nic| format!("{} {}", nic.name, nic.ipv4)).collect();
    assert_eq!(names, ["eth0 192.168.0.203", "eth1 192.168.2.203", "eth2 192.168.5.203"]);
    assert_eq!((planned.node.memory, planned.node.cpus, planned.node.forward), (256, 2, true));
    assert_eq!(plan.options.node_qemu_args[&node(203)], ["-snapshot"]);
    assert_eq!(plan.net(NetId::new(5)).unwrap().backend, "switch");
    assert!(planned.nics[0].port.expose.contains(&80));
}

#[test]
fn nodes_get_routes_over_a_router_that_is_added_later() {
    let before = default_plan();
    let after = before.with_node(&NodeBoot::new(node(203)), &registry()).unwrap();
    let hops = |plan: &Plan| plan.node(node(1)).unwrap().node.routes[0].via.len();
    assert_eq!((hops(&before), hops(&after)), (2, 3));
}

#[test]
fn a_net_stays_in_the_plan_when_its_last_node_leaves_it() {
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
fn a_new_node_that_would_bridge_two_hubs_is_refused() {
    let mut options = Options::default();
    options.backend = Some("hub".to_owned());
    let plan = builder().options(options).plan().unwrap();
    let mut boot = NodeBoot::new(node(7)).nets([0, 1, 2]);
    boot.spec.bridges = Some(vec![vec![NetId::new(1), NetId::new(2)]]);
    let problems = plan.with_node(&boot, &registry()).unwrap_err().to_string();
    assert!(problems.contains("frames would loop forever"), "{problems}");
}

#[test]
fn a_node_boot_survives_json() {
    let boot = NodeBoot::new(node(7)).nets([0, 1]).qemu_args(["-s"]);
    let text = serde_json::to_string(&boot).unwrap();
    assert_eq!(serde_json::from_str::<NodeBoot>(&text).unwrap(), boot);
    assert_eq!(serde_json::from_str::<NodeBoot>(r#"{"node": 7}"#).unwrap(), NodeBoot::new(node(7)));
}
