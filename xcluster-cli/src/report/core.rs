//! The library's errors as failures of a command: exit code, notes and hint.

use xcluster_core::cluster::{Cause, NodeFailure, RemoteError, StartFailure};
use xcluster_core::external::ScriptBackend;
use xcluster_core::guest::exec::ExecError;
use xcluster_core::host::{FolderError, Netns};
use xcluster_core::name::NodeId;
use xcluster_core::net::NetError;
use xcluster_core::plan::Step;
use xcluster_core::topology::Problems;
use xcluster_core::{Error, ErrorKind};
use xcluster_net_ovs::OvsBackend;
use xcluster_net_user::UserBackend;

use super::Failure;
use crate::exit::Exit;

/// How many of the last lines of a console, and of QEMU's messages, are shown.
const TAIL_LINES: usize = 20;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = exit(error.kind());
        match &error {
            Error::Start(failure) => of_start(exit, failure),
            Error::Owner(error) => of_remote(exit, error),
            Error::Folder(FolderError::Running { name }) => Self::from_error(exit, &error)
                .hint(format!("`xcluster stop --name {name}`, or another name with `--name`")),
            Error::Folder(FolderError::TooLong { .. }) => {
                Self::from_error(exit, &error).hint("`export XDG_RUNTIME_DIR=$(mktemp -d)`, or a shorter `--name`")
            }
            Error::Folder(FolderError::Foreign { .. }) => {
                Self::from_error(exit, &error).hint("another name with `--name`, or move that file to another folder")
            }
            Error::Folder(folder) => {
                let hint = folder.remedy().map(|remedy| format!("`{remedy}`"));
                Self { hint, ..Self::from_error(exit, &error) }
            }
            _ => {
                let hint = error.remedy().map(|remedy| format!("`{remedy}`"));
                Self { hint, ..Self::from_error(exit, &error) }
            }
        }
    }
}

/// Mistakes in the configuration of a cluster.
impl From<&Problems> for Failure {
    fn from(problems: &Problems) -> Self {
        Self::from_error(Exit::INVALID, problems).context("invalid cluster configuration")
    }
}

impl Failure {
    /// The failure of a command that could not be run on a node, or not to its end.
    pub(crate) fn not_run(node: NodeId, error: &ExecError) -> Self {
        Self::from_error(Exit::NOT_RUN, error).context(format!("cannot run the command on {node}"))
    }
}

fn exit(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Invalid => Exit::INVALID,
        ErrorKind::Host => Exit::HOST,
        ErrorKind::InUse => Exit::IN_USE,
        ErrorKind::NotRunning | ErrorKind::NoSuchNode => Exit::ABSENT,
        ErrorKind::Late => Exit::TIMEOUT,
        _ => Exit::FAILURE,
    }
}

fn of_start(exit: Exit, start: &StartFailure) -> Failure {
    let failure = Failure { hint: hint(&start.step, &start.cause), ..Failure::from_error(exit, start) };
    let notes = tails(&start.console, &start.stderr).chain([undone(start.stopped, &start.leftovers)]).collect();
    Failure { notes, ..failure }
}

/// The failure of a request to the owner, such as a boot.
fn of_remote(exit: Exit, error: &RemoteError) -> Failure {
    let hint = error.remedy().map(|remedy| format!("`{remedy}`"));
    let notes = error.context().into_iter().flat_map(|context| {
        tails(&context.console, &context.stderr).chain([undone(0, &context.leftovers)]).collect::<Vec<String>>()
    });
    Failure { hint, notes: notes.collect(), ..Failure::from_error(exit, error) }
}

fn tails<'a>(console: &'a Option<String>, stderr: &'a Option<String>) -> impl Iterator<Item = String> + use<'a> {
    let tails = [("the end of its console:", console), ("the last messages of QEMU:", stderr)];
    tails.into_iter().filter_map(|(head, text)| tail(head, text.as_deref()?))
}

fn tail(head: &str, text: &str) -> Option<String> {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    let last: String = last.iter().map(|line| format!("  | {}\n", line.trim_end())).collect();
    (!last.is_empty()).then(|| format!("{head}\n{last}"))
}

fn undone(stopped: usize, leftovers: &[String]) -> String {
    let stopped = match stopped {
        0 => String::new(),
        1 => "stopped 1 node; ".to_owned(),
        count => format!("stopped {count} nodes; "),
    };
    match leftovers {
        [] => format!("{stopped}nothing is left behind"),
        leftovers => format!("{stopped}left behind: {}", leftovers.join("; ")),
    }
}

/// The command that helps.
fn hint(step: &Step, cause: &Cause) -> Option<String> {
    Some(match cause {
        Cause::Image(error) => return error.hint(),
        Cause::Qemu(_) => "`xcluster doctor` says what to install".to_owned(),
        Cause::Accel(_) => "start without `--accel kvm`: the nodes are then emulated, which is slower".to_owned(),
        Cause::Memory { .. } => {
            "start fewer nodes (`--nvm`, `--nrouters`), or with less memory for each (`--mem`)".to_owned()
        }
        Cause::Net(NetError::InUse { .. } | NetError::Conflict { .. }) if is(step, OvsBackend::NAME) => {
            "`--netns private --set ovs.instance=private` starts a private Open vSwitch for the cluster".to_owned()
        }
        Cause::Net(NetError::InUse { .. } | NetError::Conflict { .. }) if !is_user(step) => {
            "`--netns private` gives the cluster its own network namespace".to_owned()
        }
        Cause::Net(NetError::InUse { .. }) => {
            "unset the XCLUSTER_… variable with this number, so that a free one is used".to_owned()
        }
        Cause::Net(error @ NetError::Unsupported { .. }) => return other_way(step, error),
        Cause::Net(NetError::Other { .. }) if is(step, ScriptBackend::NAME) => {
            "to debug it, run the program of `--net-setup` with the numbers of a node and of a net".to_owned()
        }
        Cause::Node(NodeFailure::Late { .. }) => "`--timeout 10m` waits longer".to_owned(),
        _ => return None,
    })
}

/// The hint for a requirement that this host lacks: the backend's remedy, or another backend or namespace.
fn other_way(step: &Step, error: &NetError) -> Option<String> {
    let way = match step {
        Step::Netns { netns: Netns::Named(_) } => Some("start with `--netns private`"),
        step if is_user(step) => None,
        _ => Some("start with `--net user`"),
    };
    match (error.remedy(), way) {
        (Some(remedy), Some(way)) => Some(format!("`{remedy}`, or {way}")),
        (Some(remedy), None) => Some(format!("`{remedy}`")),
        (None, way) => way.map(str::to_owned),
    }
}

/// Whether the user backend failed.
fn is_user(step: &Step) -> bool {
    is(step, UserBackend::NAME)
}

/// Whether the backend with this name failed.
fn is(step: &Step, name: &str) -> bool {
    match step {
        Step::Preflight { backend } | Step::CreateNet { backend, .. } | Step::Setup { backend, .. } => backend == name,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(backend: &str, error: NetError, exit: Exit, expected: Option<&str>) {
        let (step, cause) = (Step::Preflight { backend: backend.to_owned() }, Cause::Net(error));
        assert_eq!((super::exit(cause.kind()), hint(&step, &cause).as_deref()), (exit, expected));
    }

    #[test]
    fn a_missing_requirement_has_a_hint_with_its_remedy_and_an_alternative() {
        let what = "cannot open `/dev/net/tun`: permission denied".to_owned();
        let tun = || NetError::Unsupported { what: what.clone(), remedy: Some("sudo chmod 0666 /dev/net/tun".into()) };
        let both = "`sudo chmod 0666 /dev/net/tun`, or start with `--net user`";
        check("bridge", tun(), Exit::HOST, Some(both));
        check("bridge", NetError::unsupported("its kernel has none"), Exit::HOST, Some("start with `--net user`"));
        check("user", tun(), Exit::HOST, Some("`sudo chmod 0666 /dev/net/tun`"));
        check("user", NetError::unsupported("no loopback"), Exit::HOST, None);
    }

    #[test]
    fn a_failed_script_has_a_hint_how_to_debug_it() {
        let ended = NetError::Other { message: "`net-setup 3 1` ended with code 1".to_owned(), source: None };
        let by_hand = "to debug it, run the program of `--net-setup` with the numbers of a node and of a net";
        check("script", ended, Exit::HOST, Some(by_hand));
    }

    #[test]
    fn a_net_that_is_in_use_has_a_hint_to_a_private_namespace() {
        let taken = NetError::Conflict { object: "xcbr0".to_owned() };
        let elsewhere = "`--netns private` gives the cluster its own network namespace";
        check("bridge", taken, Exit::IN_USE, Some(elsewhere));
        let taken = NetError::Conflict { object: "xcbr0".to_owned() };
        let own = "`--netns private --set ovs.instance=private` starts a private Open vSwitch for the cluster";
        check("ovs", taken, Exit::IN_USE, Some(own));
    }
}
