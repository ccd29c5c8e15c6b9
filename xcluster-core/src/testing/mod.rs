//! Tests of backends and of clusters (feature `testing`). Not covered by semantic versioning. Tests *on* clusters need none of
//! this: see [`test_run`](crate::test_run).
//!
//! * [`conformance`]: start here with your own backend: the contract of
//!   [`NetBackend`](crate::net::NetBackend), number by number, as trials.
//! * [`scenarios`]: the next step: expectations about clusters of real VMs, the same for every backend.
//! * [`harness`]: a `main` for tests that each have a network namespace, without privilege.
//! * [`traffic`]: guests without VMs, which talk TCP and UDP through a backend's netdev in a real QEMU.
//! * [`cluster_harness`]: functions that start clusters of real VMs and check expectations.
//! * [`leftovers`]: what a host has before and after a test, and the differences.
//! * [`FakeQemu`]: a program in QEMU's place, which behaves badly on demand.
//! * [`TestContext`]: a backend context without a cluster, to call a backend with.

pub mod cluster_harness;
pub mod conformance;
pub mod fake_qemu;
pub mod harness;
mod host;
pub mod leftovers;
mod netns;
mod qemu;
pub mod scenarios;
mod test_context;
mod test_failure;
pub mod traffic;

pub use fake_qemu::{Behaviour, FakeQemu};
pub use test_context::TestContext;
pub use test_failure::{TestFailure, ensure};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::conformance::ContractCase;
    use super::scenarios::Expectation;

    /// The names after `prefix` in a text: `Echo` of `ContractCase::Echo`.
    fn named(text: &str, prefix: &str) -> BTreeSet<String> {
        let name = |rest: &str| rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        text.split(prefix).skip(1).map(name).collect()
    }

    #[test]
    fn every_capability_names_a_test_that_proves_it() {
        let source = include_str!("../net/capabilities.rs");
        let (_, fields) = source.split_once("pub struct Capabilities {").unwrap();
        let (fields, _) = fields.split_once("\n}").unwrap();
        for field in fields.split_inclusive(",\n").filter(|field| field.contains("    pub ")) {
            assert!(
                field.contains("ContractCase::") || field.contains("Expectation::") || field.contains("every trial"),
                "{field}"
            );
        }
        let cases: BTreeSet<String> =
            ContractCase::ALL.iter().map(|contract_case| format!("{contract_case:?}")).collect();
        let expectations: BTreeSet<String> =
            Expectation::ALL.iter().map(|expectation| format!("{expectation:?}")).collect();
        let unknown: Vec<String> = named(fields, "ContractCase::").difference(&cases).cloned().collect();
        assert_eq!(unknown, [""; 0], "no such contract cases");
        let unknown: Vec<String> = named(fields, "Expectation::").difference(&expectations).cloned().collect();
        assert_eq!(unknown, [""; 0], "no such expectations");
    }
}
