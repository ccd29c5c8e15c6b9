//! A QEMU for the suites, with the network args of a backend and a monitor, and without a guest.

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
/// The args of every QEMU here.
const COMMON: &str = "-accel tcg -nodefaults -no-user-config -display none \
                      -chardev socket,id=monitor,fd=@monitor@ -mon chardev=monitor,mode=control";
/// How long QEMU may take to start, or to report why it cannot, on a busy host.
const DEADLINE: Duration = Duration::from_secs(60);

/// A QEMU without a guest. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Qemu {
    process: Process,
    monitor: Qmp,
}

impl Qemu {
    /// Starts it with these network args, and waits for the monitor's greeting, which comes once QEMU has accepted them all.
    /// `machine` has the args before them, and `descriptors` the descriptors that no NIC has.
    pub(super) async fn start(
        machine: &[&str],
        nics: &[&KvmArgs],
        mut descriptors: BTreeMap<String, OwnedFd>,
    ) -> Result<Self, TestFailure> {
        let program =
            find_program(PROGRAM.as_ref()).ok_or_else(|| TestFailure::new(format!("`{PROGRAM}` is not installed")))?;
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
        match Qmp::connect(UnixStream::from_std(ours)?, DEADLINE).await {
            Ok((monitor, _)) => Ok(Self { process, monitor }),
            Err(error) => Err(why_it_ended(&mut process).await.unwrap_or_else(|| error.into())),
        }
    }

    /// Hotplugs a NIC.
    pub(super) async fn plug(&self, nic: &KvmArgs) -> Result<(), TestFailure> {
        for (name, descriptor) in nic.descriptors() {
            self.monitor.getfd(name, descriptor.try_clone()?).await?;
        }
        for netdev in nic.netdevs() {
            if nic.descriptors().is_empty() {
                self.type_in(&format!("netdev_add {netdev}")).await?;
            } else {
                // The human monitor does not know descriptors that were sent to this one.
                self.monitor.execute("netdev_add", properties(netdev)).await?;
            }
        }
        for device in nic.devices() {
            self.type_in(&format!("device_add {device}")).await?;
        }
        Ok(())
    }

    /// Runs a line in the human monitor, which takes the same values as the command line, and prints nothing on success.
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

/// A netdev as QMP takes it. A descriptor that was sent has a name, where an inherited one has a number.
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

/// QEMU's messages, if it has ended.
async fn why_it_ended(process: &mut Process) -> Option<TestFailure> {
    let stderr = process.stderr();
    timeout(DEADLINE, process.wait()).await.ok()?.ok()?;
    Some(TestFailure::new(format!("QEMU ended: {}", stderr.text())))
}
