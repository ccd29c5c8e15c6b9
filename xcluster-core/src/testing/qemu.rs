//! A QEMU for the suites: no guest in it, but the network args of a backend and a monitor. Knows nothing of clusters.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::TestFailure;
use crate::net::KvmArgs;
use crate::qemu::process::{Launch, Process, find_program, qemu_netns_of};
use crate::qemu::qmp::Qmp;

const PROGRAM: &str = "qemu-system-x86_64";
/// The args of every machine here.
const COMMON: &str = "-accel tcg -nodefaults -no-user-config -display none \
                      -chardev socket,id=monitor,fd=@monitor@ -mon chardev=monitor,mode=control";
/// How long QEMU may take to start, or to say why it does not, on a busy host.
const PATIENCE: Duration = Duration::from_secs(60);

/// A QEMU without a guest. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Qemu {
    process: Process,
    monitor: Qmp,
}

impl Qemu {
    /// Starts it with these network args and waits until it has taken them all, which its monitor's greeting says.
    /// `machine` are args that come before them, and `descriptors` what the args refer to besides.
    pub(super) async fn start(
        machine: &[&str],
        nics: &[&KvmArgs],
        mut descriptors: BTreeMap<String, OwnedFd>,
    ) -> Result<Self, TestFailure> {
        let program =
            find_program(PROGRAM.as_ref()).ok_or_else(|| TestFailure::new(format!("there is no {PROGRAM}")))?;
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        descriptors.insert("monitor".to_owned(), theirs.into());
        let mut args: Vec<String> = machine.iter().copied().chain(COMMON.split(' ')).map(str::to_owned).collect();
        for nic in nics {
            args.extend(nic.args().iter().cloned());
            for (name, descriptor) in nic.descriptors() {
                descriptors.insert(name.clone(), descriptor.try_clone()?);
            }
        }
        let place = qemu_netns_of(nics.iter().copied());
        let mut process = Process::start(Launch { program, args, descriptors, place })?;
        match Qmp::connect(UnixStream::from_std(ours)?, PATIENCE).await {
            Ok((monitor, _)) => Ok(Self { process, monitor }),
            Err(error) => Err(why_it_ended(&mut process).await.unwrap_or_else(|| error.into())),
        }
    }

    /// Plugs a NIC into it, as one would into a VM that runs.
    pub(super) async fn plug(&self, nic: &KvmArgs) -> Result<(), TestFailure> {
        for (name, descriptor) in nic.descriptors() {
            self.monitor.getfd(name, descriptor.try_clone()?).await?;
        }
        for netdev in nic.netdevs() {
            if nic.descriptors().is_empty() {
                self.type_in(&format!("netdev_add {netdev}")).await?;
            } else {
                // The monitor for people does not know what was sent to the other one.
                self.monitor.execute("netdev_add", properties(netdev)).await?;
            }
        }
        for device in nic.devices() {
            self.type_in(&format!("device_add {device}")).await?;
        }
        Ok(())
    }

    /// Types a line into the monitor for people, which takes the same words as the command line, and says nothing when
    /// all is well.
    async fn type_in(&self, line: &str) -> Result<(), TestFailure> {
        let said = self.monitor.execute("human-monitor-command", json!({ "command-line": line })).await?;
        match said.as_str().map(str::trim) {
            Some("") => Ok(()),
            said => Err(TestFailure::new(format!("QEMU answers `{}` to `{line}`", said.unwrap_or_default()))),
        }
    }

    /// Ends it and waits until it is gone.
    pub(super) async fn end(mut self) {
        self.process.kill().await;
    }
}

/// A netdev as the monitor for programs takes it. A descriptor that was sent is known by its name, where an inherited one has
/// a number.
fn properties(netdev: &str) -> Value {
    let (kind, properties) = netdev.split_once(',').unwrap_or((netdev, ""));
    let pairs = properties.split(',').filter_map(|property| property.split_once('='));
    let typed = pairs.map(|(key, value)| (key.to_owned(), typed(&value.replace('@', ""))));
    std::iter::once(("type".to_owned(), json!(kind))).chain(typed).collect::<Map<_, _>>().into()
}

fn typed(value: &str) -> Value {
    match value {
        "on" => json!(true),
        "off" => json!(false),
        text => text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number)),
    }
}

/// What QEMU said last, if it has ended.
async fn why_it_ended(process: &mut Process) -> Option<TestFailure> {
    let stderr = process.stderr();
    timeout(PATIENCE, process.wait()).await.ok()?.ok()?;
    Some(TestFailure::new(format!("QEMU ended: {}", stderr.text())))
}
