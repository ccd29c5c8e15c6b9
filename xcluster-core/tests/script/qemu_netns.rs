//! The namespaces of scripts, and real QEMUs with the args that they print.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;
use xcluster_core::host::{Namespace, has_link};
use xcluster_core::net::{HostAccess, KvmArgs, NetBackend, NetError};
use xcluster_core::qemu::process::{Launch, Process, find_program, qemu_netns_of};
use xcluster_core::qemu::qmp::Qmp;
use xcluster_core::testing::harness::Test;
use xcluster_core::testing::{TestFailure, ensure};

use crate::fixture::{Fixture, SOON, port, set_up};

pub(crate) fn tests() -> Vec<Test> {
    crate::named![
        a_script_and_its_qemu_run_in_the_clusters_namespace,
        a_script_that_needs_a_namespace_says_so,
        a_forward_in_the_clusters_namespace_is_found_there,
        a_script_can_choose_the_machine_type,
        an_arg_that_qemu_refuses_is_reported_with_its_message,
    ]
}

/// A QEMU with these args after those of every node.
async fn qemu(nic: &KvmArgs) -> Result<(Process, Qmp), TestFailure> {
    let program = find_program("qemu-system-x86_64".as_ref()).ok_or_else(|| TestFailure::new("there is no QEMU"))?;
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let before = "-machine pc -accel tcg,thread=single -nodefaults -no-user-config -display none -S \
                  -chardev socket,id=monitor,fd=@monitor@ -mon chardev=monitor,mode=control";
    let mut args: Vec<String> = before.split_whitespace().map(str::to_owned).collect();
    args.extend(nic.args().iter().cloned());
    let descriptors = BTreeMap::from([("monitor".to_owned(), theirs.into())]);
    let mut process = Process::start(Launch { program, args, descriptors, place: qemu_netns_of([nic]) })?;
    match Qmp::connect(UnixStream::from_std(ours)?, SOON).await {
        Ok((monitor, _)) => Ok((process, monitor)),
        Err(_) => {
            timeout(SOON, process.wait()).await??;
            Err(TestFailure::new(process.stderr().text()))
        }
    }
}

async fn a_script_and_its_qemu_run_in_the_clusters_namespace() -> Result<(), TestFailure> {
    let script = "set -e; ip tuntap add xcbr$2_t$1 mode tap; readlink /proc/self/ns/net >$HERE/netns
        echo -netdev tap,id=net$2,ifname=xcbr$2_t$1,script=no,downscript=/tmp/rmtap
        echo -device virtio-net-pci,netdev=net$2";
    let fixture = Fixture::with(script, |config| config.in_namespace(true))?;
    let namespace = Namespace::private()?;
    let inside = format!("net:[{}]", namespace.id()?);
    let context = fixture.test_context.context().in_namespace(&namespace);
    let port_config = set_up(&fixture.backend, &context, &port(1)).await?;
    ensure(fixture.text("netns").trim() == inside, || fixture.text("netns"))?;
    ensure(port_config.access == HostAccess::Inside("192.168.1.3".parse()?), || format!("{:?}", port_config.access))?;
    ensure(has_link(&namespace, "xcbr1_t3")? && !has_link(&Namespace::here(), "xcbr1_t3")?, || "no tap".to_owned())?;

    let (mut process, _monitor) = qemu(&port_config.kvm).await?;
    let netns = std::fs::read_link(format!("/proc/{}/ns/net", process.pid()))?;
    ensure(netns.to_str() == Some(&inside), || format!("QEMU runs in {}", netns.display()))?;
    process.kill().await;
    fixture.backend.teardown(&context, &port(1)).await?;
    ensure(!has_link(&namespace, "xcbr1_t3")?, || "the tap stays".to_owned())
}

async fn a_script_that_needs_a_namespace_says_so() -> Result<(), TestFailure> {
    let fixture = Fixture::with("echo -x", |config| config.in_namespace(true))?;
    let needs = fixture.backend.capabilities(port(0).net.kind).needs_namespace;
    let none = matches!(fixture.set_up(&port(1)).await, Err(NetError::Other { .. }));
    ensure(needs && none, || format!("needs: {needs}, error: {none}"))?;
    // In the owner's own namespace no entry is needed.
    let here = Namespace::here();
    let port_config = set_up(&fixture.backend, &fixture.test_context.context().in_namespace(&here), &port(1)).await?;
    ensure(port_config.kvm == KvmArgs::from_args(["-x"]), || port_config.kvm.to_string())
}

async fn a_forward_in_the_clusters_namespace_is_found_there() -> Result<(), TestFailure> {
    let script = "echo -netdev user,id=net0,hostfwd=tcp:127.0.0.1:12003-:23 -device e1000,netdev=net0";
    let fixture = Fixture::with(script, |config| config.in_namespace(true))?;
    let namespace = Namespace::private()?;
    let port_config =
        set_up(&fixture.backend, &fixture.test_context.context().in_namespace(&namespace), &port(0)).await?;
    let (mut process, _monitor) = qemu(&port_config.kvm).await?;
    let address =
        port_config.access.tcp_inside(23).ok_or_else(|| TestFailure::new(format!("{:?}", port_config.access)))?;
    timeout(Duration::from_secs(10), namespace.connect(address)).await??;
    process.kill().await;
    Ok(())
}

async fn a_script_can_choose_the_machine_type() -> Result<(), TestFailure> {
    let script = "set -e; ip tuntap add xcbr$2_t$1 mode tap multi_queue
        echo -M q35 -device pcie-root-port,id=rp1,slot=1
        echo -netdev tap,id=net$2,ifname=xcbr$2_t$1,queues=4,script=no,downscript=/tmp/rmtap
        echo -device virtio-net-pci,netdev=net$2,bus=rp1,mq=on,vectors=10 -device virtio-rng-pci";
    let fixture = Fixture::new(script)?;
    let port_config = fixture.set_up(&port(1)).await?;
    let (mut process, monitor) = qemu(&port_config.kvm).await?;
    let kind = monitor.execute("qom-get", serde_json::json!({"path": "/machine", "property": "type"})).await?;
    ensure(kind.as_str().is_some_and(|kind| kind.contains("q35")), || kind.to_string())?;
    process.kill().await;
    fixture.tear_down(&port(1)).await?;
    ensure(!has_link(&Namespace::here(), "xcbr1_t3")?, || "the tap stays".to_owned())
}

async fn an_arg_that_qemu_refuses_is_reported_with_its_message() -> Result<(), TestFailure> {
    let fixture = Fixture::new("echo -netdev user,id=net$2 -device no-such-nic,netdev=net$2")?;
    let port_config = fixture.set_up(&port(1)).await?;
    let said = qemu(&port_config.kvm).await.err().map(|failed| failed.to_string()).unwrap_or_default();
    ensure(said.contains("'no-such-nic' is not a valid device model name"), || said.clone())
}
