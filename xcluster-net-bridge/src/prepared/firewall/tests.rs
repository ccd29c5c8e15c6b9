//! The texts, and what is seen in the lists of real programs.

use super::*;

/// What `nft -j list ruleset` says on a host with Docker, without the addresses: a chain that drops, one for others.
const DOCKER: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
    {"table": {"family": "ip", "name": "filter", "handle": 2}},
    {"chain": {"family": "ip", "table": "filter", "name": "DOCKER-USER", "handle": 1}},
    {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 2, "type": "filter", "hook": "forward",
        "prio": 0, "policy": "drop"}},
    {"rule": {"family": "ip", "table": "filter", "chain": "FORWARD", "handle": 4, "expr": [{"jump": {"target": "DOCKER-USER"}}]}},
    {"chain": {"family": "ip6", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter", "hook": "forward",
        "prio": 0, "policy": "accept"}},
    {"chain": {"family": "inet", "table": "firewalld", "name": "filter_FORWARD", "handle": 7, "type": "filter",
        "hook": "forward", "prio": 10, "policy": "accept"}},
    {"rule": {"family": "inet", "table": "firewalld", "chain": "filter_FORWARD", "handle": 9,
        "expr": [{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]}},
    {"chain": {"family": "bridge", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter", "hook": "forward",
        "prio": 0, "policy": "drop"}}]}"#;

fn index() -> Index {
    Index::new(1).unwrap()
}

#[test]
fn the_hosts_table_replaces_what_is_there_of_it() {
    assert_eq!(
        host_script(index()),
        "add table inet xcluster1\n\
         delete table inet xcluster1\n\
         table inet xcluster1 {\n\
         \x20 chain postrouting {\n\
         \x20   type nat hook postrouting priority srcnat; policy accept;\n\
         \x20   ip saddr 172.30.0.2 oifname != \"xcluster1\" masquerade comment \"xcluster: nsadd\"\n\
         \x20   ip6 saddr fd00:1723::ac1e:2 oifname != \"xcluster1\" masquerade comment \"xcluster: nsadd\"\n\
         \x20 }\n\
         }\n\
         table inet xcluster1 {\n\
         \x20 chain forward {\n\
         \x20   type filter hook forward priority filter; policy accept;\n\
         \x20   iifname \"xcluster1\" ip saddr != 172.30.0.2 drop\n\
         \x20   iifname \"xcluster1\" ip6 saddr != fd00:1723::ac1e:2 drop\n\
         \x20 }\n\
         }\n"
    );
}

#[test]
fn our_own_table_is_in_nobodys_way() {
    let rules = r#"{"nftables": [
        {"table": {"family": "inet", "name": "xcluster1"}},
        {"chain": {"family": "inet", "table": "xcluster1", "name": "forward", "handle": 2, "type": "filter",
            "hook": "forward", "prio": 0, "policy": "accept"}},
        {"rule": {"family": "inet", "table": "xcluster1", "chain": "forward", "handle": 3, "expr": [{"drop": null}]}},
        {"rule": {"family": "inet", "table": "xcluster1", "chain": "postrouting", "handle": 4,
            "comment": "xcluster: nsadd", "expr": [{"masquerade": null}]}},
        {"rule": {"family": "inet", "table": "xcluster1", "chain": "postrouting", "handle": 5,
            "comment": "xcluster: nsadd", "expr": [{"masquerade": null}]}}]}"#;
    assert_eq!(Ruleset::parse(rules).unwrap().barriers(), []);
}

#[test]
fn the_internal_net_leaves_a_namespace_masqueraded() {
    let script = inner_script(index(), &Ipv6Prefix::default());
    assert!(script.contains("    ip saddr 192.168.0.0/24 oifname \"host1\" masquerade"), "{script}");
    assert!(script.contains("    ip6 saddr 1000::1:c0a8:0/120 oifname \"host1\" masquerade"), "{script}");
}

#[test]
fn barriers_are_chains_that_would_drop_what_is_forwarded() {
    let barriers: Vec<String> = Ruleset::parse(DOCKER).unwrap().barriers().iter().map(ToString::to_string).collect();
    assert_eq!(barriers, ["ip filter DOCKER-USER", "inet firewalld filter_FORWARD"]);
    assert!(Ruleset::parse(r#"{"nftables": []}"#).unwrap().barriers().is_empty());
}

#[test]
fn what_admits_a_link_is_found_again_by_its_comment() {
    let rule = |comment: &str, side: &str, link: &str, handle: u8| {
        format!(
            r#"{{"rule": {{"family": "ip", "table": "filter", "chain": "DOCKER-USER", "handle": {handle}, "comment": "{comment}",
                "expr": [{{"match": {{"op": "==", "left": {{"meta": {{"key": "{side}"}}}}, "right": "{link}"}}}}, {{"accept": null}}]}}}}"#
        )
    };
    let rules = [
        rule("xcluster1", "iifname", "xcluster1", 5),
        rule("xcluster1", "oifname", "xcluster1", 6),
        rule("xcluster10", "iifname", "xcluster10", 7),
        rule("xcluster1", "iifname", "eth0", 8),
    ];
    let ruleset = Ruleset::parse(&format!(r#"{{"nftables": [{}]}}"#, rules.join(","))).unwrap();
    let chain = Chain { family: "ip".into(), table: "filter".into(), name: "DOCKER-USER".into() };
    assert!(ruleset.admits(&chain, "xcluster1") && !ruleset.admits(&chain, "xcluster10"));
    assert_eq!(
        ruleset.dismissal("xcluster1"),
        "delete rule ip filter DOCKER-USER handle 5\ndelete rule ip filter DOCKER-USER handle 6\n"
    );
}
