//! For tests of backends and of clusters (feature `testing`): what proves that a promise is kept. Not covered by semantic
//! versioning.
//!
//! * [`conformance`]: start here with a backend of your own: the contract of
//!   [`NetBackend`](crate::net::NetBackend), number by number, as trials.
//! * [`harness`]: a `main` for tests, each in a network namespace of its own, without privilege.
//! * [`traffic`]: guests without VMs, that talk TCP and UDP through a backend's netdev in a real QEMU.
//! * [`scenarios`]: then this one: what clusters of real VMs show, the same on every backend.
//! * [`cluster_harness`]: clusters of real VMs, and expectations about them.
//! * [`leftovers`]: what a host has before and after, and the difference in words.
//! * [`FakeQemu`]: a program in QEMU's place, for tests of what a cluster does when one behaves badly.
//! * [`TestContext`]: what a backend is lent, for those who call one without a cluster.

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

    /// The words behind `prefix` in a text: `Echo` of `ContractCase::Echo`.
    fn named(text: &str, prefix: &str) -> BTreeSet<String> {
        let name = |rest: &str| rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        text.split(prefix).skip(1).map(name).collect()
    }

    #[test]
    fn every_capability_names_what_shows_it() {
        let source = include_str!("../net/capabilities.rs");
        let (_, fields) = source.split_once("pub struct Capabilities {").unwrap();
        let (fields, _) = fields.split_once("\n}").unwrap();
        for field in fields.split_inclusive(",\n").filter(|field| field.contains("    pub ")) {
            assert!(
                field.contains("ContractCase::") || field.contains("Expectation::") || field.contains("every trial"),
                "{field}"
            );
        }
        let parts: BTreeSet<String> =
            ContractCase::ALL.iter().map(|contract_case| format!("{contract_case:?}")).collect();
        let expectations: BTreeSet<String> =
            Expectation::ALL.iter().map(|expectation| format!("{expectation:?}")).collect();
        let unknown: Vec<String> = named(fields, "ContractCase::").difference(&parts).cloned().collect();
        assert_eq!(unknown, [""; 0], "no such contract cases");
        let unknown: Vec<String> = named(fields, "Expectation::").difference(&expectations).cloned().collect();
        assert_eq!(unknown, [""; 0], "no such expectations");
    }
}
