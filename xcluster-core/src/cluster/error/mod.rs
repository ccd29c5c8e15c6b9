//! The errors of clusters. Context (which node, which net, which step) is added here, once; hints are added where
//! an error is shown.

mod remote;

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::error_chain;
use crate::guest::exec::ExecError;
use crate::host::{FolderError, HostLockError, UplinkError};
use crate::image::{ImageError, OverlayError};
use crate::name::{ClusterName, NodeId};
use crate::net::NetError;
use crate::plan::{Readiness, Step};
use crate::qemu::accel::AccelError;
use crate::qemu::disk::DiskError;
use crate::qemu::qmp::QmpError;
use crate::qemu::version::QemuError;
use crate::topology::Problems;

pub use remote::{FailureContext, RemoteError};

/// Why a request to a cluster failed. Its debug form, which a test that ends with `?` prints, has the causes, a line each.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The topology or the options are not valid: every mistake, at once.
    #[error("invalid cluster configuration: {0}")]
    Invalid(Problems),
    /// The cluster gets no runtime folder; most often because a cluster of that name is running.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The start of a cluster or the boot of a node failed. What was begun was undone.
    #[error(transparent)]
    Start(Arc<StartFailure>),
    /// The cluster has no such node.
    #[error("there is no node {asked} in the cluster: it has {there}")]
    NoSuchNode {
        /// The number or text asked for.
        asked: String,
        /// Those that exist.
        there: String,
    },
    /// No cluster of that name runs.
    #[error("no cluster named `{0}` is running")]
    NotRunning(ClusterName),
    /// The folder of a running cluster was removed or renamed. No command could find the cluster any more, so its owner ends it.
    #[error("the folder of cluster `{name}` was removed while it ran; its owner, process {owner}, ends it")]
    LostFolder {
        /// The cluster.
        name: ClusterName,
        /// The process that owns it.
        owner: u32,
    },
    /// The node is not in a state to do this.
    #[error("{node} is not ready ({state}{})", reason(.why.as_ref()))]
    NotReady {
        /// The node.
        node: NodeId,
        /// Its state.
        state: super::NodeState,
        /// What happened to it.
        why: Option<String>,
    },
    /// The node is to be booted and runs.
    #[error("{0} is already running: stop it before you boot it again")]
    Running(NodeId),
    /// A command or a copy on a node failed.
    #[error("{}", exec_failure(*.node, .error))]
    Exec {
        /// The node.
        node: NodeId,
        /// The failure. The message has it with its causes, so it is not a source.
        error: ExecError,
    },
    /// A command on a node did not succeed in time.
    #[error("not successful within {waited:?}")]
    Until {
        /// How long it was repeated.
        waited: Duration,
        /// The last failure.
        #[source]
        source: ExecError,
    },
    /// A file of this host could not be read or written.
    #[error("{what} on this host")]
    Local {
        /// The action that failed.
        what: String,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
    /// A console did not show a text.
    #[error("the console of {node} did not show `{text}` {why}; its end: {}", tail.escape_debug())]
    Console {
        /// The node.
        node: NodeId,
        /// The text.
        text: String,
        /// Whether it was too late or the node ended.
        why: String,
        /// The end of what it showed instead.
        tail: String,
    },
    /// A node's QEMU refused a command.
    #[error("on {node}: {}", error_chain::one_line(.error))]
    Monitor {
        /// The node.
        node: NodeId,
        /// QEMU's error. The message has it with its causes, so it is not a source.
        error: QmpError,
    },
    /// A node's TCP port cannot be reached.
    #[error("cannot connect to port {port} of {node}")]
    Connect {
        /// The node.
        node: NodeId,
        /// The port.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A node's agent cannot be used, because the node has none.
    #[error("{0} has no agent: it was started with another sign of readiness")]
    NoAgent(NodeId),
    /// Only the process that owns the cluster can do this.
    #[error("cannot {0}: another process owns the cluster")]
    NotOwner(&'static str),
    /// The cluster has ended.
    #[error("the cluster has ended")]
    Ended,
    /// Something was left when the cluster was taken down.
    #[error("not everything could be removed: {}", .0.join("; "))]
    Leftovers(Vec<String>),
    /// The owner of a cluster reports this error.
    #[error(transparent)]
    Owner(RemoteError),
    /// The operating system refused.
    #[error("cannot {action}")]
    Io {
        /// The action that failed.
        action: String,
        /// Its error.
        #[source]
        source: io::Error,
    },
}

fn exec_failure(node: NodeId, error: &ExecError) -> String {
    let text = error_chain::one_line(error);
    match error {
        // It has the node.
        ExecError::Unsuccessful { node: Some(_), .. } => text,
        // The node must not be blamed for an error of the host.
        ExecError::Host { .. } => format!("for {node}: {text}"),
        _ => format!("on {node}: {text}"),
    }
}

fn reason(why: Option<&String>) -> String {
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

impl Error {
    pub(crate) fn io(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { action: action.into(), source: source.into() }
    }

    /// The kind of error, for exit codes and hints.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Folder(FolderError::Running { .. }) => ErrorKind::InUse,
            Self::Folder(_) => ErrorKind::Host,
            Self::Start(failure) => failure.cause.kind(),
            Self::NoSuchNode { .. } => ErrorKind::NoSuchNode,
            Self::NotRunning(_) => ErrorKind::NotRunning,
            Self::NotReady { .. } | Self::NoAgent(_) | Self::Running(_) => ErrorKind::Node,
            Self::Exec { .. } | Self::Until { .. } => ErrorKind::Exec,
            Self::Console { .. } => ErrorKind::Node,
            Self::Owner(error) => error.kind(),
            Self::Connect { .. } | Self::Monitor { .. } => ErrorKind::Node,
            Self::Local { .. }
            | Self::NotOwner(_)
            | Self::Ended
            | Self::LostFolder { .. }
            | Self::Leftovers(_)
            | Self::Io { .. } => ErrorKind::Other,
        }
    }

    /// The command that gives this host what it lacks, if that is why and one is known: `sudo chmod 0666 /dev/net/tun`.
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Start(failure) => failure.cause.remedy(),
            Self::Owner(error) => error.remedy(),
            _ => None,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(failure) => fmt::Debug::fmt(failure, f),
            _ => error_chain::with_causes(self, f),
        }
    }
}

/// An error if something could not be removed.
pub(super) fn leftovers(leftovers: Vec<String>) -> Result<(), Error> {
    if leftovers.is_empty() { Ok(()) } else { Err(Error::Leftovers(leftovers)) }
}

/// The kinds of errors that a caller treats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The topology or the options are wrong.
    Invalid,
    /// This host lacks something: a QEMU, packages, memory.
    Host,
    /// A name or number is in use.
    InUse,
    /// No such cluster runs.
    NotRunning,
    /// The cluster has no such node.
    NoSuchNode,
    /// A node did not start, or has failed.
    Node,
    /// A node was not ready in time.
    Late,
    /// A command or copy on a node failed.
    Exec,
    /// Anything else.
    Other,
}

/// A start of a cluster or a boot of a node that failed, with all that helps to see why. Its debug form has all of it.
#[non_exhaustive]
pub struct StartFailure {
    /// The step that failed.
    pub step: Step,
    /// Why it failed.
    pub cause: Cause,
    /// The end of the node's console, if a node failed.
    pub console: Option<String>,
    /// The end of what QEMU said, if a node failed.
    pub stderr: Option<String>,
    /// How many nodes that were up were stopped again.
    pub stopped: usize,
    /// The objects that could not be removed.
    pub leftovers: Vec<String>,
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.step)
    }
}

impl fmt::Debug for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        error_chain::with_causes(self, f)?;
        self.context().write(f)
    }
}

impl StartFailure {
    /// The information that explains the failure.
    fn context(&self) -> FailureContext {
        let (console, stderr) = (self.console.clone(), self.stderr.clone());
        FailureContext { console, stderr, leftovers: self.leftovers.clone() }
    }
}

impl std::error::Error for StartFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Why a step of a start failed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The guest could not be found or built.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An overlay could not be read.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// A disk image is none.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// No usable QEMU was found.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// KVM was asked for and does not work.
    #[error(transparent)]
    Accel(#[from] AccelError),
    /// A backend failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The network namespace got no uplink.
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    /// A host lock on something shared failed.
    #[error(transparent)]
    HostLock(#[from] HostLockError),
    /// The node did not come up.
    #[error(transparent)]
    Node(#[from] NodeFailure),
    /// The nodes need more memory than there is.
    #[error("the nodes need {wanted} MiB of memory and {available} MiB are available")]
    Memory {
        /// The memory that they need, in MiB.
        wanted: u64,
        /// The available memory, in MiB.
        available: u64,
    },
    /// A backend broke its contract: an arg names a descriptor that it did not hand over.
    #[error("the backend's args name descriptors that it did not pass: {}", .0.join(", "))]
    Descriptors(Vec<String>),
    /// A backend broke its contract: a descriptor of this node has that name already.
    #[error("the backend passes descriptors by names that are in use: {}", .0.join(", "))]
    DescriptorsTwice(Vec<String>),
    /// The user starts this QEMU, and its args can only refer to devices that have a name.
    #[error("the args refer to descriptors that are no taps, and only taps have names: {}", .0.join(", "))]
    NotByName(Vec<String>),
    /// Backends need a node's QEMU in two network namespaces.
    #[error("the node's NICs need two network namespaces, and a QEMU runs in one")]
    TwoNamespaces,
    /// The operating system refused.
    #[error("cannot {action}")]
    Io {
        /// The action that failed.
        action: String,
        /// Its error.
        #[source]
        source: io::Error,
    },
    /// A step panicked, most likely in a backend.
    #[error("a panic: {0}")]
    Panicked(String),
}

impl Cause {
    pub(crate) fn io(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { action: action.into(), source: source.into() }
    }

    /// The cause that a panic is, most likely one in a backend.
    pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(text.unwrap_or("without a message").to_owned())
    }

    /// The command that gives this host what it lacks, if that is why and one is known.
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Net(error) => error.remedy(),
            Self::Uplink(error) => error.remedy(),
            _ => None,
        }
    }

    /// The kind of error, for exit codes and hints.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Net(NetError::InUse { .. } | NetError::Conflict { .. }) => ErrorKind::InUse,
            Self::Net(NetError::Refused(_)) | Self::Overlay(_) | Self::Disk(_) => ErrorKind::Invalid,
            Self::Node(NodeFailure::Late { .. }) => ErrorKind::Late,
            Self::Node(_) | Self::HostLock(_) => ErrorKind::Node,
            Self::Panicked(_) | Self::Descriptors(_) | Self::DescriptorsTwice(_) => ErrorKind::Other,
            Self::TwoNamespaces | Self::NotByName(_) => ErrorKind::Invalid,
            _ => ErrorKind::Host,
        }
    }
}

/// Why a node did not come up, or is no longer there.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum NodeFailure {
    /// QEMU could not be started.
    #[error("cannot run QEMU")]
    Spawn(#[source] io::Error),
    /// QEMU has ended.
    #[error("QEMU {0}")]
    Exited(String),
    /// QEMU's monitor does not answer.
    #[error("QEMU's monitor does not answer")]
    Monitor(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not get ready in time.
    #[error("not ready within {waited:?}: it is ready when {readiness}")]
    Late {
        /// How long it was given.
        waited: Duration,
        /// The awaited condition.
        readiness: Readiness,
    },
    /// Scripts that configure it failed.
    #[error("init scripts failed: {}", .0.join(", "))]
    Scripts(Vec<String>),
    /// Its agent could not be understood.
    #[error("its agent failed")]
    Agent(#[source] ExecError),
    /// It has no port that readiness could be seen on.
    #[error("no backend lets the host reach its ssh server, so it can never be seen to be ready")]
    Unreachable,
}

error_chain::readable_debug!(Cause, NodeFailure);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_gives_up_prints_an_error_with_its_causes() {
        let node = NodeId::new(3).unwrap();
        let source = io::Error::from(io::ErrorKind::ConnectionRefused);
        let text = format!("{:?}", Error::Connect { node, port: 22, source });
        assert_eq!(text, "cannot connect to port 22 of vm-003\n  caused by: connection refused");
    }

    #[test]
    fn an_error_of_a_node_is_complete_without_its_causes() {
        let node = NodeId::new(3).unwrap();
        let source = io::Error::from(io::ErrorKind::NotFound);
        let error = ExecError::Refused { what: "cannot run `x`".to_owned(), source };
        assert_eq!(Error::Exec { node, error }.to_string(), "on vm-003: cannot run `x`: entity not found");
    }

    #[test]
    fn the_causes_of_a_failed_start_are_those_of_the_error() {
        let failure = StartFailure {
            step: Step::Guest,
            cause: Cause::Memory { wanted: 2, available: 1 },
            console: None,
            stderr: Some("no".to_owned()),
            stopped: 0,
            leftovers: Vec::new(),
        };
        let error = Error::Start(Arc::new(failure));
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(cause.as_deref(), Some("the nodes need 2 MiB of memory and 1 MiB are available"));
        assert_eq!(
            format!("{error:?}"),
            "cannot prepare QEMU and the guest\n  caused by: the nodes need 2 MiB of memory and 1 MiB are available\n\
             QEMU's messages:\n  no"
        );
    }
}
