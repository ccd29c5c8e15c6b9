//! Failed starts: their errors, and that nothing is left.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use tempfile::TempDir;
use xcluster_core::Cluster;
use xcluster_core::cluster::{Cause, NodeFailure, StartFailure};
use xcluster_core::name::NodeId;
use xcluster_core::plan::{Accel, GuestSource, Readiness, Step};
use xcluster_core::topology::Topology;
use xcluster_net_user::{UserBackend, UserConfig};

use crate::harness::{builder, failure};

#[tokio::test(flavor = "multi_thread")]
async fn an_init_script_that_fails_is_named_with_what_it_said() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("etc/init.d")).unwrap();
    let script = "case $(hostname) in vm-002) echo no luck today; exit 7 ;; esac\n";
    fs::write(dir.path().join("etc/init.d/30own.rc"), script).unwrap();
    let failure = failure(builder().nodes(2).overlay(dir.path())).await;
    assert_eq!(failure.step, boot_of(2));
    assert_eq!(cause(&failure), "init scripts failed: 30own.rc 7");
    assert!(console(&failure).contains("no luck today"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_panics_ends_the_start_at_once() {
    let mut topology = Topology::default();
    topology.node_mut(NodeId::new(1).unwrap()).kernel_args = Some("rdinit=/bin/false".to_owned());
    let failure = failure(builder().topology(topology).nodes(2).routers(0)).await;
    assert_eq!(failure.step, boot_of(1));
    assert!(matches!(failure.cause, Cause::Node(NodeFailure::Exited(_))), "{failure:?}");
    assert!(console(&failure).contains("Attempted to kill init"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_get_ready_in_time_is_given_up() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("etc/init.d")).unwrap();
    fs::write(dir.path().join("etc/init.d/99never.rc"), "echo waiting for nothing; exec sleep 1000\n").unwrap();
    let deadline = Duration::from_secs(15);
    let failure = failure(builder().nodes(1).overlay(dir.path()).deadline(deadline)).await;
    assert_eq!(failure.step, boot_of(1));
    assert_eq!(cause(&failure), "not ready within 15s: it is ready when the agent says so");
    assert!(console(&failure).contains("waiting for nothing"), "{failure:?}");
}

#[tokio::test]
async fn a_port_that_somebody_has_is_named() {
    let somebody = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = somebody.local_addr().unwrap().port();
    let mut config = UserConfig::default();
    // Telnet to node 1 is on the port after this one.
    config.telnet_base = Some(port - 1);
    let builder = Cluster::builder().backend(UserBackend::new(config)).nodes(1);
    let failure = failure(builder).await;
    assert_eq!(failure.step, Step::Preflight { backend: UserBackend::NAME.to_owned() });
    assert!(cause(&failure).contains(&format!("127.0.0.1:{port}")), "{failure:?}");
}

#[tokio::test]
async fn a_kernel_that_is_none_is_shown_with_what_qemu_said() {
    let dir = TempDir::new().unwrap();
    let [kernel, initramfs] = ["kernel", "initramfs"].map(|name| {
        let path = dir.path().join(name);
        fs::write(&path, "neither a kernel nor an initramfs").unwrap();
        Some(path)
    });
    let builder = builder().nodes(1).guest(GuestSource::Kernel { kernel, initramfs }).accel(Accel::Tcg);
    let failure = failure(builder.ready_when(Readiness::Started)).await;
    assert_eq!(failure.step, boot_of(1));
    assert!(failure.stderr.as_deref().unwrap_or_default().contains("kernel"), "{failure:?}");
}

#[tokio::test]
async fn more_memory_than_there_is_is_refused() {
    let failure = failure(builder().nodes(2).memory(1 << 30)).await;
    assert_eq!(failure.step, Step::Guest);
    assert!(matches!(failure.cause, Cause::Memory { .. }), "{failure:?}");
}

fn boot_of(node: u16) -> Step {
    Step::Boot { node: NodeId::new(node).unwrap() }
}

fn cause(failure: &StartFailure) -> String {
    failure.cause.to_string()
}

fn console(failure: &StartFailure) -> &str {
    failure.console.as_deref().unwrap_or_default()
}
