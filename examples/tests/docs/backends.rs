//! The tables of `docs/backends.md`: what each backend promises, which the backends know, and which tests prove it, which the
//! suites know.

use std::sync::Arc;

use my_switch::SwitchBackend;
use xcluster_core::external::{ScriptBackend, ScriptConfig, ScriptNet};
use xcluster_core::net::{Capabilities, NetBackend, VmToVm};
use xcluster_core::testing::conformance::{CONTRACT, ContractCase};
use xcluster_core::testing::scenarios::Expectation;
use xcluster_core::topology::NetKind;
use xcluster_examples::c_plugin;
use xcluster_net_bridge::BridgeBackend;
use xcluster_net_ovs::{OvsBackend, OvsConfig};
use xcluster_net_user::UserBackend;

use crate::page;

/// A column of the tables.
struct Column {
    name: &'static str,
    backend: Arc<dyn NetBackend>,
    /// Whether it needs root. No backend tells: the tests of all run as an ordinary user.
    root: &'static str,
    /// The contract case that is not tested on it, and what holds instead.
    left_out: Option<(ContractCase, &'static str)>,
}

impl Column {
    fn new(name: &'static str, backend: impl NetBackend + 'static, root: &'static str) -> Self {
        Self { name, backend: Arc::new(backend), root, left_out: None }
    }
}

/// One for each backend, and one more for each configuration with other promises.
fn columns() -> Vec<Column> {
    let everywhere = ScriptNet::new(true, VmToVm::Switch, ScriptNet::MTU_MAX);
    let taps = ScriptConfig::new("net-setup").in_namespace(true);
    let taps = taps.promising_internal(everywhere).promising_others(everywhere);
    vec![
        Column::new("`bridge`", BridgeBackend::default(), "no"),
        Column::new("`ovs`, private", OvsBackend::default(), "no"),
        Column::new("`ovs`, system", OvsBackend::new(OvsConfig::default().on_system("")), "yes, in its namespace"),
        Column::new("`user`", UserBackend::default(), "no"),
        Column {
            left_out: Some((ContractCase::AsBefore, "bridges end with the namespace")),
            ..Column::new("`script`, [taps](../examples/net-setup.sh)", ScriptBackend::new(taps), "no")
        },
        Column::new("[`switch`](../examples/my-switch), linked or a plugin", SwitchBackend::default(), "no"),
        Column::new("[`c-switch`](../examples/plugin-c), a plugin", c_plugin(), "no"),
    ]
}

#[test]
fn the_tables_of_backends_are_true() {
    page::check("docs/backends.md", |name| match name {
        "promises" => promises(),
        "trials" => trials(),
        "scenarios" => scenarios(),
        other => panic!("no table is called `{other}`"),
    });
}

type Fact = fn(&Capabilities) -> String;

fn promises() -> String {
    let facts: [(&str, Fact); 9] = [
        ("host and nodes reach each other", |promise| yes(promise.host_access)),
        ("VMs reach each other", |promise| vm_to_vm(promise.vm_to_vm)),
        ("ports of a net", |promise| promise.max_ports.map_or("any number".to_owned(), |max| format!("at most {max}"))),
        ("frames may get lost on an idle net", |promise| yes(promise.lossy)),
        ("largest MTU", |promise| promise.mtu_max.to_string()),
        ("offloads of checksums and segmentation", |promise| yes(promise.offloads)),
        ("NICs can be added to running VMs", |promise| yes(promise.hotplug)),
        ("objects outlive the owner", |promise| yes(promise.durable)),
        ("needs the cluster's network namespace", |promise| yes(promise.needs_namespace)),
    ];
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for (text, fact) in facts {
        rows.push((text.to_owned(), columns().iter().map(|column| by_kind(column, fact)).collect()));
    }
    rows.push(("needs root".to_owned(), columns().iter().map(|column| column.root.to_owned()).collect()));
    table("", rows)
}

/// A row for each contract case that follows from the capabilities.
fn trials() -> String {
    let by_subject = [ContractCase::WhereAnotherClusterIs, ContractCase::WithForeignObject];
    let rows = ContractCase::ALL.into_iter().filter(|contract_case| !by_subject.contains(contract_case)).map(
        |contract_case| {
            let contract = CONTRACT[usize::from(contract_case.number()) - 1].trim_end_matches('.');
            let text = if contract_case.text().is_empty() {
                contract.to_owned()
            } else {
                format!("{contract}: {}", contract_case.text())
            };
            let cells = columns().into_iter().map(|column| match column.left_out {
                Some((left_out, instead)) if left_out == contract_case => instead.to_owned(),
                _ => mark(&column, |promise| contract_case.is_promised_by(promise)),
            });
            (format!("{}. {}", contract_case.number(), text.trim_end_matches(" on net")), cells.collect())
        },
    );
    table("Contract case", rows.collect())
}

fn scenarios() -> String {
    let rows = Expectation::ALL.map(|expectation| {
        let cells =
            columns().iter().map(|column| mark(column, |promise| expectation.is_promised_by(promise))).collect();
        (expectation.text().to_owned(), cells)
    });
    table("Expectation", rows.into())
}

/// On which nets something is tested.
fn mark(column: &Column, is_promised: impl Fn(&Capabilities) -> bool) -> String {
    let tried = [NetKind::Internal, NetKind::Cluster].map(|kind| is_promised(&column.backend.capabilities(kind)));
    match tried {
        [true, true] => "✓",
        [true, false] => "✓ internal",
        [false, true] => "✓ others",
        [false, false] => "—",
    }
    .to_owned()
}

/// A fact about all nets or, if they differ, about the internal one and the others.
fn by_kind(column: &Column, fact: impl Fn(&Capabilities) -> String) -> String {
    let [internal, other] = [NetKind::Internal, NetKind::Cluster].map(|kind| fact(&column.backend.capabilities(kind)));
    if internal == other { internal } else { format!("internal: {internal}, others: {other}") }
}

fn yes(holds: bool) -> String {
    if holds { "yes" } else { "no" }.to_owned()
}

fn vm_to_vm(how: VmToVm) -> String {
    match how {
        VmToVm::None => "no",
        VmToVm::Hub => "as on a hub",
        VmToVm::Switch => "as on a switch",
    }
    .to_owned()
}

fn table(corner: &str, rows: Vec<(String, Vec<String>)>) -> String {
    let columns = columns();
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let mut lines =
        vec![format!("| {corner} | {} |", names.join(" | ")), format!("|---|{}", "---|".repeat(names.len()))];
    lines.extend(rows.into_iter().map(|(text, cells)| format!("| {text} | {} |", cells.join(" | "))));
    lines.join("\n")
}
