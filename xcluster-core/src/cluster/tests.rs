//! Clusters whose backend or options misbehave: what becomes of the start, and that everything is undone. QEMU is a script
//! that ends up as a sleep; what a real one does is tested with real VMs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Builder, Cause, Cluster, Error, Event};
use crate::net::{
    BackendContext, Capabilities, HostAccess, KvmArgs, Net, NetBackend, NetError, Port, PortConfig, VmToVm,
};
use crate::plan::{Accel, GuestSource, Options, Readiness};
use crate::topology::NetKind;

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(60);

/// What a backend does, besides noting what it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Fine,
    PanicInSetup,
    StayInSetup,
    FailInSetup,
    PanicInTeardown,
    SameDescriptor,
}

#[derive(Debug, Clone)]
struct Backend {
    manner: Manner,
    seen: Arc<Mutex<Vec<&'static str>>>,
    /// Something was begun that takes its time.
    busy: Arc<Notify>,
    /// It may go on.
    proceed: Arc<Notify>,
}

impl Backend {
    fn new(manner: Manner) -> Self {
        Self { manner, seen: Arc::default(), busy: Arc::default(), proceed: Arc::default() }
    }

    fn note(&self, what: &'static str) {
        self.seen.lock().unwrap().push(what);
    }

    fn seen(&self) -> Vec<&'static str> {
        self.seen.lock().unwrap().clone()
    }
}

/// Notes that a setup is over, however it ends.
struct UnderWay(Backend);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.note("setup is over");
    }
}

#[async_trait]
impl NetBackend for Backend {
    fn name(&self) -> &str {
        "test"
    }

    fn capabilities(&self, _: NetKind) -> Capabilities {
        Capabilities::joining(VmToVm::Switch, 1500)
    }

    async fn preflight(&self, _: &BackendContext<'_>, _: &[Net], _: &[Port]) -> Result<(), NetError> {
        Ok(())
    }

    async fn create_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        Ok(())
    }

    async fn setup(&self, _: &BackendContext<'_>, _: &Port) -> Result<PortConfig, NetError> {
        let kvm = match self.manner {
            Manner::PanicInSetup => panic!("a bug"),
            Manner::FailInSetup => return Err(NetError::Refused("no".to_owned())),
            Manner::StayInSetup => {
                let _under_way = UnderWay(self.clone());
                self.busy.notify_one();
                std::future::pending().await
            }
            Manner::SameDescriptor => {
                let (_, end) = std::os::unix::net::UnixStream::pair().unwrap();
                KvmArgs::from_args(["-netdev", "tap,fd=@tap@"]).with_descriptor("tap", std::os::fd::OwnedFd::from(end))
            }
            Manner::Fine | Manner::PanicInTeardown => KvmArgs::new(),
        };
        Ok(PortConfig { kvm, access: HostAccess::None })
    }

    async fn teardown(&self, _: &BackendContext<'_>, _: &Port) -> Result<(), NetError> {
        self.note("teardown");
        match self.manner {
            Manner::PanicInTeardown => panic!("a bug"),
            Manner::FailInSetup => {
                self.busy.notify_one();
                self.proceed.notified().await;
            }
            _ => {}
        }
        Ok(())
    }

    async fn delete_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        self.note("delete_net");
        Ok(())
    }
}

/// A folder with a QEMU that greets and then stays.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::write(fixture.file("qemu"), include_str!("tests/qemu.sh")).unwrap();
        std::fs::set_permissions(fixture.file("qemu"), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(fixture.file("kernel"), "").unwrap();
        fixture
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn base(&self) -> PathBuf {
        self.file("base")
    }

    /// One node on nets 0 and 1.
    fn builder(&self, backend: &Backend) -> Builder {
        let (kernel, initramfs) = (Some(self.file("kernel")), Some(self.file("kernel")));
        let options = Options { qemu: self.file("qemu"), accel: Accel::Tcg, ..Options::default() };
        Builder::new()
            .options(options)
            .guest(GuestSource::Kernel { kernel, initramfs })
            .ready_when(Readiness::Started)
            .backend(backend.clone())
            .folder(self.base())
            .nodes(1)
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(SOON, work).await.expect("it does not end")
}

async fn start_failure(builder: Builder) -> Cause {
    match soon(Cluster::start(builder)).await {
        Err(Error::Start(failure)) => Arc::try_unwrap(failure).expect("nobody else has it").cause,
        other => panic!("{other:?}"),
    }
}

fn is_empty(base: &Path) -> bool {
    std::fs::read_dir(base).unwrap().next().is_none()
}

#[tokio::test]
async fn a_backend_that_panics_fails_the_start_and_is_undone() {
    let (fixture, backend) = (Fixture::new(), Backend::new(Manner::PanicInSetup));
    let cause = start_failure(fixture.builder(&backend)).await;
    assert!(matches!(&cause, Cause::Panicked(what) if what == "a bug"), "{cause:?}");
    assert_eq!(backend.seen(), ["teardown", "delete_net", "delete_net"]);
    assert!(is_empty(&fixture.base()));
}

#[tokio::test]
async fn what_a_panic_leaves_is_named_and_the_rest_is_undone() {
    let (fixture, backend) = (Fixture::new(), Backend::new(Manner::PanicInTeardown));
    let cluster = soon(Cluster::start(fixture.builder(&backend))).await.unwrap();
    let Err(Error::Leftovers(leftovers)) = soon(cluster.stop()).await else { panic!("nothing was left") };
    assert_eq!(leftovers, ["vm-001 on net 1: a panic: a bug", "vm-001 on net 0: a panic: a bug"]);
    assert_eq!(backend.seen(), ["teardown", "teardown", "delete_net", "delete_net"]);
}

#[tokio::test]
async fn a_setup_that_is_cancelled_is_over_before_its_teardown() {
    let (fixture, backend) = (Fixture::new(), Backend::new(Manner::StayInSetup));
    let cluster = Cluster::begin(&fixture.builder(&backend)).unwrap();
    soon(backend.busy.notified()).await;
    soon(cluster.stop()).await.unwrap();
    assert_eq!(backend.seen(), ["setup is over", "teardown", "delete_net", "delete_net"]);
}

#[tokio::test]
async fn a_cluster_that_is_dropped_while_a_start_is_undone_is_undone_all_the_same() {
    let (fixture, backend) = (Fixture::new(), Backend::new(Manner::FailInSetup));
    let cluster = Cluster::begin(&fixture.builder(&backend)).unwrap();
    soon(backend.busy.notified()).await;
    let mut dropped = tokio::task::spawn_blocking(move || drop(cluster));
    assert!(timeout(Duration::from_millis(200), &mut dropped).await.is_err(), "gone while it was being undone");
    backend.proceed.notify_one();
    soon(dropped).await.unwrap();
    assert_eq!(backend.seen(), ["teardown", "delete_net", "delete_net"]);
    assert!(is_empty(&fixture.base()));
}

#[tokio::test]
async fn stopping_while_a_start_is_undone_waits_for_the_undoing() {
    let (fixture, backend) = (Fixture::new(), Backend::new(Manner::FailInSetup));
    let cluster = Cluster::begin(&fixture.builder(&backend)).unwrap();
    soon(backend.busy.notified()).await;
    let mut stopped = Box::pin(cluster.stop());
    assert!(timeout(Duration::from_millis(200), &mut stopped).await.is_err(), "stopped while it was being undone");
    backend.proceed.notify_one();
    soon(stopped).await.unwrap();
    assert_eq!(backend.seen(), ["teardown", "delete_net", "delete_net"]);
}

#[tokio::test]
async fn events_end_with_the_cluster_whoever_still_has_a_node_of_it() {
    let (fixture, backend) = (Fixture::new(), Backend::new(Manner::Fine));
    let cluster = soon(Cluster::start(fixture.builder(&backend))).await.unwrap();
    let (node, mut events) = (cluster.node(1).unwrap(), cluster.events());
    drop(cluster);
    let mut last = None;
    while let Some(event) = soon(events.next()).await {
        last = Some(event);
    }
    assert_eq!(last, Some(Event::Stopped));
    assert!(matches!(node.status().await, Err(Error::Ended)));
}

#[tokio::test]
async fn limits_beyond_all_measure_are_no_panic() {
    let (fixture, backend) = (Fixture::new(), Backend::new(Manner::Fine));
    let boots = Some(usize::MAX);
    let options = Options { qemu: fixture.file("qemu"), accel: Accel::Tcg, boots, ..Options::default() };
    let builder = fixture.builder(&backend).deadline(Duration::MAX);
    let guest = GuestSource::Kernel { kernel: Some(fixture.file("kernel")), initramfs: Some(fixture.file("kernel")) };
    let builder = builder.options(options).guest(guest).ready_when(Readiness::Started).deadline(Duration::MAX);
    soon(Cluster::start(builder)).await.unwrap();
}

#[tokio::test]
async fn two_nics_of_a_node_do_not_share_a_descriptors_name() {
    let (fixture, backend) = (Fixture::new(), Backend::new(Manner::SameDescriptor));
    let cause = start_failure(fixture.builder(&backend)).await;
    assert!(matches!(&cause, Cause::DescriptorsTwice(names) if names == &["tap"]), "{cause:?}");
}

#[test]
fn clusters_nodes_and_what_they_promise_can_go_to_other_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<(Cluster, super::Node, Builder, Error)>();
    let _ = |builder| is_send(Cluster::start(builder));
    let _ = |cluster: Cluster| is_send(async move { cluster.ready().await });
    let _ = |cluster: Cluster| is_send(cluster.stop());
    let _ = |node: super::Node| is_send(async move { node.exec("true").await });
    let _ = |cluster: Cluster| is_send(async move { cluster.exec_on([1], "true").await });
}
