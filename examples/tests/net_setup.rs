//! [`net-setup.sh`](../net-setup.sh), a net-setup script as the original xcluster calls one, in the tests of every backend: the
//! conformance suite, and the scenarios with real VMs.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use xcluster_core::Cluster;
use xcluster_core::external::{ScriptBackend, ScriptConfig, ScriptNet};
use xcluster_core::net::{NetBackend, VmToVm};
use xcluster_core::testing::conformance::{self, ContractCase, Trial};
use xcluster_core::testing::harness::{self, Test};
use xcluster_core::testing::scenarios::{self, Scenario};

fn main() -> ExitCode {
    harness::main(contract().into_iter().chain(vms()).collect())
}

/// The author of a script states what it promises: this one gives the host access to every net.
fn script() -> ScriptBackend {
    let promise = ScriptNet::new(true, VmToVm::Switch, ScriptNet::MTU_MAX);
    let config = ScriptConfig::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("net-setup.sh")).in_namespace(true);
    ScriptBackend::new(config.promising_internal(promise).promising_others(promise))
}

/// All contract cases but one: the script leaves its bridges, which go with the cluster's namespace.
fn contract() -> Vec<Test> {
    let subject = conformance::Subject::new(|| Arc::new(script()) as Arc<dyn NetBackend>);
    let trials =
        conformance::trials(&subject).into_iter().filter(|trial| trial.contract_case != ContractCase::AsBefore);
    trials.map(Trial::into_test).collect()
}

fn vms() -> [Test; 2] {
    let subject = scenarios::Subject::new(|| Cluster::builder().backend(script()));
    let test = |name: &str, scenario| {
        let subject = subject.clone();
        harness::test(name, move || async move {
            scenarios::check(&subject, scenario).await;
            Ok(())
        })
    };
    [
        test("a_cluster_does_what_the_script_promises", Scenario::Everyday),
        test("nodes_have_many_nics", Scenario::ManyNics),
    ]
}
