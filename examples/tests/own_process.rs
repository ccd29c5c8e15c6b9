//! A QEMU of one's own on the networks of a cluster. The caller chooses its args, except those of its NICs, whose ports the
//! cluster sets up.
//!
//! The test shows:
//! * [`Cluster::set_up_port`] sets up a port for a node that the cluster does not run, and adds both to the plan;
//! * [`Machine`] has the args that the library would choose, and each can be changed;
//! * [`Process`] is a QEMU that dies with the thread that started it, so that nothing is left if the test is killed.
//!
//! Without a cluster, a program calls a backend by its trait,
//! [`NetBackend`](xcluster_core::net::NetBackend), with a [`BackendContext`](xcluster_core::net::BackendContext) of the caller's.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::task::LocalSet;
use tokio::time::timeout;
use xcluster_core::image::{KERNEL_ARGS, standard_image};
use xcluster_core::name::NetId;
use xcluster_core::net::KvmArgs;
use xcluster_core::qemu::command::{Accelerator, Boot, CONSOLE, Initramfs, MONITOR, Machine};
use xcluster_core::qemu::process::{Launch, Process, qemu_netns_of};
use xcluster_core::{Cluster, NodeState};
use xcluster_net_user::UserBackend;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How long a guest may take to boot. An emulated one on a busy host needs much less.
const BOOT: Duration = Duration::from_secs(300);

#[tokio::test]
async fn a_qemu_of_ones_own_is_on_the_clusters_networks() -> Result<()> {
    LocalSet::new().run_until(own_process()).await
}

async fn own_process() -> Result<()> {
    let cluster = Cluster::start(Cluster::builder().backend(UserBackend::default()).nodes(1)).await?;
    let mut nics = Vec::new();
    for net in [NetId::INTERNAL, NetId::CLUSTER] {
        nics.push(cluster.set_up_port(9, net).await?.kvm);
    }
    assert_eq!(cluster.node(9)?.status().await?.state, NodeState::Waiting);

    let (console, theirs) = UnixStream::pair()?;
    let (_monitor, monitor) = UnixStream::pair()?;
    let place = qemu_netns_of(&nics);
    // The args of some backends, such as bridges, refer to descriptors; those of this one do not.
    let mut descriptors = descriptors(&nics)?;
    descriptors.insert(CONSOLE.to_owned(), theirs.into());
    descriptors.insert(MONITOR.to_owned(), monitor.into());
    let launch = Launch { program: "qemu-system-x86_64".into(), args: machine(nics)?.args(), descriptors, place };
    let mut qemu = Process::start(launch)?;
    console.set_nonblocking(true)?;
    let mut console = BufReader::new(tokio::net::UnixStream::from_std(console)?);
    timeout(BOOT, shows(&mut console, "xcluster: ready")).await??;

    // Without an overlay the guest configures only its internal net. Its console is a shell.
    console.write_all(b"ip addr add 192.168.1.9/24 dev eth1 && ip link set eth1 up && echo ok=$?\n").await?;
    timeout(BOOT, shows(&mut console, "ok=0")).await??;
    cluster.node(1)?.exec("ping -c1 -W20 192.168.1.9").await?.ok()?;

    qemu.kill().await;
    cluster.tear_down_port(9, NetId::CLUSTER).await?;
    // Now the cluster runs the node itself.
    cluster.boot(9).await?;
    cluster.stop().await?;
    Ok(())
}

/// The args that a cluster would use, with another machine type.
fn machine(nics: Vec<KvmArgs>) -> Result<Machine> {
    let image = standard_image(&|_| {})?;
    Ok(Machine {
        name: "own".to_owned(),
        machine: "q35".to_owned(),
        accel: Accelerator::Tcg,
        memory: 160,
        cpus: 1,
        boot: Boot::Kernel {
            kernel: image.kernel,
            initramfs: image.initramfs.map(Initramfs::Path),
            cmdline: KERNEL_ARGS.join(" "),
        },
        agent: None,
        nics,
        extra: Vec::new(),
    })
}

fn descriptors(nics: &[KvmArgs]) -> std::io::Result<BTreeMap<String, OwnedFd>> {
    let all = nics.iter().flat_map(|nic| nic.descriptors());
    all.map(|(name, descriptor)| Ok((name.clone(), descriptor.try_clone()?))).collect()
}

/// Waits for a line that has this text.
async fn shows(console: &mut (impl AsyncBufRead + Unpin), text: &str) -> Result<()> {
    let mut line = Vec::new();
    while console.read_until(b'\n', &mut line).await? > 0 {
        if String::from_utf8_lossy(&line).contains(text) {
            return Ok(());
        }
        line.clear();
    }
    Err("the console has closed".into())
}
