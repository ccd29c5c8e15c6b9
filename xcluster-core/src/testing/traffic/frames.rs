//! Guests without VMs: a QEMU has the netdev, and a TCP/IP stack in this process is behind it. So frames take the same path as
//! those of a VM, in a tenth of a second and without a boot.
//!
//! A hub in QEMU joins the netdev to a socket, whose other end is here. The NIC is left out: it would need a guest with a driver.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::device::{FrameSocket, HEADER};
use super::stack::Stack;
use super::{Guest, Protocol, Traffic};
use crate::net::{KvmArgs, Port, PortConfig};
use crate::testing::TestFailure;
use crate::testing::qemu::Qemu;

/// The type of a frame with a text: one that IEEE reserves for experiments.
const SHOUT: [u8; 2] = [0x88, 0xb5];
/// When to run the stack again if it has nothing to do before.
const IDLE: Duration = Duration::from_secs(60);

/// Makes guests without VMs. Must be used within a [`LocalSet`](tokio::task::LocalSet).
#[derive(Debug, Clone, Copy)]
pub struct Frames {
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Half a minute for an answer: a megabyte takes a tenth of a second, and much longer on a host that is busy with other tests.
impl Default for Frames {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30) }
    }
}

#[async_trait(?Send)]
impl Traffic for Frames {
    async fn guest(&self, port_config: &PortConfig, port: &Port) -> Result<Box<dyn Guest>, TestFailure> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let args = hub_args(&port_config.kvm, port)?;
        let descriptors = BTreeMap::from([("peer".to_owned(), theirs.into())]);
        let qemu = Qemu::start(&["-M", "none"], &[&args], descriptors).await?;
        let frame_socket = FrameSocket::new(UnixStream::from_std(ours)?);
        let (commands, received) = mpsc::unbounded_channel();
        let (publish, heard) = watch::channel(BTreeSet::new());
        let run = run(frame_socket, Stack::new(port), received, publish);
        let task = tokio::task::spawn_local(async move {
            // An error means that QEMU has ended. Callers that wait for an answer notice.
            let _ = run.await;
        });
        Ok(Box::new(FrameGuest { _qemu: qemu, task, commands, heard, mac: port.mac.0, timeout: self.timeout }))
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// The netdev without its NIC, joined to a peer on the descriptor `@peer@`.
fn hub_args(kvm: &KvmArgs, port: &Port) -> Result<KvmArgs, TestFailure> {
    let netdev = kvm.netdevs().next().ok_or_else(|| TestFailure::new("no netdev among the args"))?;
    let hub = |id: &str, of: &str| format!("hubport,id={id},hubid=0,netdev={of}");
    let values =
        [netdev.to_owned(), "socket,id=peer,fd=@peer@".to_owned(), hub("hub0", &port.netdev()), hub("hub1", "peer")];
    let args = values.into_iter().flat_map(|value| ["-netdev".to_owned(), value]);
    let descriptors = kvm.descriptors().iter();
    let args = descriptors.fold(KvmArgs::from_args(args), |w, (name, fd)| w.with_descriptor(name, fd.clone()));
    Ok(args.at(kvm.qemu_netns().clone()))
}

/// A request to the task of a guest.
enum GuestCommand {
    Ask { protocol: Protocol, to: SocketAddr, question: Vec<u8>, answer: oneshot::Sender<Vec<u8>> },
    Send(Vec<u8>),
}

struct FrameGuest {
    _qemu: Qemu,
    task: JoinHandle<()>,
    commands: mpsc::UnboundedSender<GuestCommand>,
    heard: watch::Receiver<BTreeSet<String>>,
    mac: [u8; 6],
    timeout: Duration,
}

impl std::fmt::Debug for FrameGuest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameGuest").field("mac", &self.mac).finish_non_exhaustive()
    }
}

impl Drop for FrameGuest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FrameGuest {
    fn send(&self, command: GuestCommand) -> Result<(), TestFailure> {
        self.commands.send(command).map_err(|_| gone())
    }
}

#[async_trait(?Send)]
impl Guest for FrameGuest {
    async fn ask(&mut self, protocol: Protocol, to: SocketAddr, question: &[u8]) -> Result<Vec<u8>, TestFailure> {
        let (answer, answered) = oneshot::channel();
        self.send(GuestCommand::Ask { protocol, to, question: question.to_vec(), answer })?;
        let late =
            |_| TestFailure::new(format!("timed out after {} s waiting for a complete answer", self.timeout.as_secs()));
        timeout(self.timeout, answered).await.map_err(late)?.map_err(|_| gone())
    }

    async fn shout(&mut self, text: &str) -> Result<(), TestFailure> {
        let frame = [&[0xff; 6], &self.mac[..], &SHOUT, text.as_bytes()].concat();
        self.send(GuestCommand::Send(frame))
    }

    async fn hears(&mut self, text: &str, within: Duration) -> Result<bool, TestFailure> {
        match timeout(within, self.heard.wait_for(|heard| heard.contains(text))).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(_)) => Err(gone()),
            Err(_) => Ok(false),
        }
    }
}

fn gone() -> TestFailure {
    TestFailure::new("the guest's QEMU has ended")
}

/// The life of a guest, until QEMU ends.
async fn run(
    mut frame_socket: FrameSocket,
    mut stack: Stack,
    mut commands: mpsc::UnboundedReceiver<GuestCommand>,
    heard: watch::Sender<BTreeSet<String>>,
) -> std::io::Result<()> {
    let mut waiting: Option<oneshot::Sender<Vec<u8>>> = None;
    loop {
        let due = stack.poll().unwrap_or(IDLE);
        if let Some(answer) = stack.answer() {
            // The caller may be cancelled.
            let _ = waiting.take().map(|waiting| waiting.send(answer));
        }
        tokio::select! {
            command = commands.recv() => match command {
                Some(GuestCommand::Ask { protocol, to, question, answer }) => {
                    stack.ask(protocol, to, question);
                    waiting = Some(answer);
                }
                Some(GuestCommand::Send(frame)) => stack.nic.to_send.push_back(frame),
                None => return Ok(()),
            },
            exchanged = frame_socket.exchange(&mut stack.nic.to_send) => exchanged?,
            () = sleep(due) => {}
        }
        while let Some(frame) = frame_socket.next() {
            match shouted(&frame) {
                Some(text) => heard.send_modify(|heard| _ = heard.insert(text)),
                None => stack.nic.received.push_back(frame),
            }
        }
    }
}

/// The text of a frame with the type of texts. Short frames are padded with zeros.
fn shouted(frame: &[u8]) -> Option<String> {
    let (header, text) = frame.split_at_checked(HEADER)?;
    let text = header.ends_with(&SHOUT).then(|| String::from_utf8_lossy(text))?;
    Some(text.trim_end_matches('\0').to_owned())
}
