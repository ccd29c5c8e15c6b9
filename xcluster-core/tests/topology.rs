//! Tests of topologies: reading, problems, and the resolved nodes and routes.

use xcluster_core::name::{NetId, NodeId, Role};
use xcluster_core::topology::{Destination, Topology};

/// Returns the problems of a TOML text, one per line.
fn problems(text: &str) -> String {
    Topology::from_toml(text).expect_err("the text should be refused").iter().map(|p| format!("{p}\n")).collect()
}

fn ids(topology: &Topology) -> Vec<u16> {
    topology.nodes().iter().map(|node| node.id.number()).collect()
}

#[test]
fn the_default_is_that_of_the_original_xcluster() {
    let topology = Topology::default();
    topology.check().unwrap();
    assert_eq!(ids(&topology), [1, 2, 3, 4, 201, 202]);
    for node in topology.nodes() {
        let nets: &[u8] = if node.id.role() == Role::Routers { &[0, 1, 2] } else { &[0, 1] };
        assert_eq!(node.nets.iter().map(|n| n.number()).collect::<Vec<_>>(), nets);
        assert_eq!((node.memory, node.cpus), (128, 2));
    }
}

#[test]
fn nodes_route_over_all_routers_that_share_their_net() {
    let mut topology = Topology::default();
    topology.role_mut(Role::Testers).count = Some(1);
    topology.role_mut(Role::Routers).count = Some(3);
    topology.node_mut(NodeId::new(202).unwrap()).nets = Some(vec![NetId::INTERNAL, NetId::CLUSTER]);
    topology.check().unwrap();
    let hops = |id| {
        let node = topology.nodes().into_iter().find(|node| node.id.number() == id).unwrap();
        let routes = node.routes.into_iter().map(|route| {
            assert_eq!(route.to, Destination::Default);
            route.via.into_iter().map(|(net, node)| (net.number(), node.number())).collect::<Vec<_>>()
        });
        routes.collect::<Vec<_>>()
    };
    assert_eq!(hops(1), [[(1, 201), (1, 202), (1, 203)]]);
    assert_eq!(hops(221), [[(2, 201), (2, 203)]]);
    assert!(hops(201).is_empty());
}

#[test]
fn a_topology_survives_toml_and_json() {
    let text = r#"
        mtu = 9000
        ipv6_prefix = "fd00:"
        [net.3]
        kind = "other"
        mtu = 2000
        [role.workers]
        ids = [10, 11]
        nets = [0, 3, 1]
        [role.routers]
        count = 1
        bridges = [[1, 2]]
        [node.201]
        memory = 384
        expose = [80]
        [backend.ovs]
        flows = "rules"
        [backend.ovs.net.1]
        trunks = [1, 2]
        [[route]]
        on = 10
        to = 2
        via = [{ net = 1, node = "routers" }, { net = 3, node = 11 }]
    "#;
    let topology = Topology::from_toml(text).unwrap();
    assert_eq!(ids(&topology), [10, 11, 201]);
    assert_eq!(Topology::from_toml(&topology.to_toml()).unwrap(), topology);
    assert_eq!(Topology::from_json(&topology.to_json()).unwrap(), topology);
    let default = Topology::default();
    assert_eq!(Topology::from_toml(&default.to_toml()).unwrap(), default);
    assert_eq!(Topology::from_toml("").unwrap(), default);
}

#[test]
fn the_role_of_workers_may_be_called_nodes() {
    let text = |role: &str| {
        format!(
            "[role.{role}]\ncount = 2\n[[route]]\non = \"{role}\"\nto = \"default\"\nvia = [{{ net = 1, node = 201 }}]\n"
        )
    };
    let topology = Topology::from_toml(&text("nodes")).unwrap();
    assert_eq!(topology, Topology::from_toml(&text("workers")).unwrap());
    assert!(topology.to_toml().contains("[role.workers]"), "{}", topology.to_toml());
    assert_eq!("nodes".parse::<Role>().unwrap(), Role::Workers);
    assert!(problems("[role.nodes]\ncount = 201\n").contains("line 2"));
}

#[test]
fn all_problems_of_the_form_are_found_at_once_with_their_lines() {
    let text = "mtu = \"big\"\ncolour = 1\n[net.300]\n[net.1]\nkind = \"blue\"\n[role.workers]\ncount = -1\n[node.241]\n[[route]]\non = \"all\"\nto = \"default\"\nvia = []\n";
    insta::assert_snapshot!(problems(text));
}

#[test]
fn all_problems_of_the_values_are_found_at_once_with_their_lines() {
    let text = r#"mtu = 1000
[net.7]
[net.1]
kind = "internal"
mtu = 9
[role.routers]
count = 21
nets = [1, 0, 1]
[role.testers]
ids = [221, 221, 5]
count = 2
[node.77]
[node.1]
memory = 8
cpus = 0
kernel_args = "a\nb"
expose = [0, 80, 80]
bridges = [[0, 5]]
[[route]]
on = 2
to = "default"
via = [{ net = 2, node = 201 }, { net = 1, node = 99 }]
[[route]]
on = "workers"
to = 2
via = []
[[masquerade]]
on = 1
nets = [0, 2]
"#;
    insta::assert_snapshot!(problems(text));
}

#[test]
fn syntax_errors_are_reported_with_their_place() {
    insta::assert_snapshot!(problems("mtu = \n[net.1\nfoo = 3"));
    insta::assert_snapshot!(Topology::from_json("{\"mtu\": 1500,}").unwrap_err());
    insta::assert_snapshot!(Topology::from_json("{\"mtu\": 1, \"net\": {\"1\": {\"kind\": 3}}}").unwrap_err());
}

#[test]
fn backend_settings_without_a_toml_form_are_refused() {
    let reported = r#"{"backend": {"x": {"a": null, "b": [1, {"c": null}], "d": 18446744073709551615, "e": 1.5}}}"#;
    let problems = Topology::from_json(reported).unwrap_err();
    let places: Vec<&str> = problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(places, ["backend.x.a", "backend.x.b.1.c", "backend.x.d"]);
}

#[test]
fn a_topology_without_nodes_is_refused() {
    insta::assert_snapshot!(problems("[role.workers]\ncount = 0\n[role.routers]\ncount = 0\n"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(?s)[\\[\\]a-z0-9=.\"{}, \n-]{0,120}") {
        let _ = Topology::from_toml(&text);
        let _ = Topology::from_json(&text);
    }
}

#[test]
fn a_problem_in_a_list_does_not_move_the_next_one() {
    let text =
        "[[route]]\non = 1\nto = 2\nvia = 3\n[[route]]\non = 1\nto = 2\n[[route]]\non = 1\nto = \"x\"\nvia = []\n";
    insta::assert_snapshot!(problems(text));
}
