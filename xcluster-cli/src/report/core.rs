//! The library's errors as failures of a command: exit code, what is known beyond the causes, and what to type next.

use xcluster_core::cluster::{Cause, NodeFailure, RemoteError, StartFailure};
use xcluster_core::external::ScriptBackend;
use xcluster_core::host::{FolderError, Netns};
use xcluster_core::net::NetError;
use xcluster_core::plan::Step;
use xcluster_core::{Error, ErrorKind};
use xcluster_net_ovs::OvsBackend;
use xcluster_net_user::UserBackend;

use super::Failure;
use crate::exit::Exit;

/// How many lines of a console or of QEMU's messages are shown: the last ones matter.
const TAIL_LINES: usize = 20;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = exit(error.kind());
        match &error {
            Error::Start(failure) => of_start(exit, failure),
            Error::Owner(error) => of_remote(exit, error),
            Error::Folder(FolderError::Running { name }) => Self::from_error(exit, &error)
                .hint(format!("`xcluster stop --name {name}`, or another name for this one with `--name`")),
            Error::Folder(FolderError::TooLong { .. }) => {
                Self::from_error(exit, &error).hint("`export XDG_RUNTIME_DIR=$(mktemp -d)`, or a shorter `--name`")
            }
            Error::Folder(FolderError::Foreign { .. }) => {
                Self::from_error(exit, &error).hint("another name with `--name`, or move what has that name elsewhere")
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

/// A node that another process was to boot.
fn of_remote(exit: Exit, error: &RemoteError) -> Failure {
    let hint = error.remedy().map(|remedy| format!("`{remedy}`"));
    let notes = error.context().into_iter().flat_map(|context| {
        tails(&context.console, &context.stderr).chain([undone(0, &context.leftovers)]).collect::<Vec<String>>()
    });
    Failure { hint, notes: notes.collect(), ..Failure::from_error(exit, error) }
}

fn tails<'a>(console: &'a Option<String>, stderr: &'a Option<String>) -> impl Iterator<Item = String> + use<'a> {
    let tails = [("the end of its console:", console), ("the end of what QEMU said:", stderr)];
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
        1 => "1 node that was up is stopped again; ".to_owned(),
        count => format!("{count} nodes that were up are stopped again; "),
    };
    match leftovers {
        [] => format!("{stopped}nothing is left behind"),
        leftovers => format!("{stopped}left behind: {}", leftovers.join("; ")),
    }
}

/// What to type next.
fn hint(step: &Step, cause: &Cause) -> Option<String> {
    Some(match cause {
        Cause::Image(error) => return error.hint(),
        Cause::Qemu(_) => "`xcluster doctor` says what to install".to_owned(),
        Cause::Accel(_) => "leave out `--accel kvm`: the nodes then run in software, more slowly".to_owned(),
        Cause::Memory { .. } => "fewer nodes (`--nvm`, `--nrouters`) or less memory for each (`--mem`)".to_owned(),
        Cause::Net(NetError::InUse { .. } | NetError::Conflict { .. }) if is(step, OvsBackend::NAME) => {
            "`--netns private --set ovs.instance=private` gives the cluster an Open vSwitch where nobody else is"
                .to_owned()
        }
        Cause::Net(NetError::InUse { .. } | NetError::Conflict { .. }) if !is_user(step) => {
            "`--netns private` gives the cluster a network namespace of its own".to_owned()
        }
        Cause::Net(NetError::InUse { .. }) => {
            "unset the XCLUSTER_… variable that asks for this number; then free ones are found".to_owned()
        }
        Cause::Net(error @ NetError::Unsupported { .. }) => return other_way(step, error),
        Cause::Net(NetError::Other { .. }) if is(step, ScriptBackend::NAME) => {
            "call the program of `--net-setup` by hand, with the numbers of a node and of a net".to_owned()
        }
        Cause::Node(NodeFailure::Late { .. }) => "`--timeout 10m` waits longer".to_owned(),
        _ => return None,
    })
}

/// What helps against what a backend lacks: its own remedy, or what needs nothing of the kind.
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

/// Whether it is the user backend that failed.
fn is_user(step: &Step) -> bool {
    is(step, UserBackend::NAME)
}

/// Whether it is the backend of this name that failed.
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
    fn what_a_host_lacks_comes_with_the_command_and_with_the_other_way() {
        let what = "cannot open `/dev/net/tun`: permission denied".to_owned();
        let tun = || NetError::Unsupported { what: what.clone(), remedy: Some("sudo chmod 0666 /dev/net/tun".into()) };
        let both = "`sudo chmod 0666 /dev/net/tun`, or start with `--net user`";
        check("bridge", tun(), Exit::HOST, Some(both));
        check("bridge", NetError::unsupported("its kernel has none"), Exit::HOST, Some("start with `--net user`"));
        check("user", tun(), Exit::HOST, Some("`sudo chmod 0666 /dev/net/tun`"));
        check("user", NetError::unsupported("no loopback"), Exit::HOST, None);
    }

    #[test]
    fn who_has_a_program_of_his_own_can_try_it() {
        let ended = NetError::Other { message: "`net-setup 3 1` ended with code 1".to_owned(), source: None };
        let by_hand = "call the program of `--net-setup` by hand, with the numbers of a node and of a net";
        check("script", ended, Exit::HOST, Some(by_hand));
    }

    #[test]
    fn bridges_that_are_taken_are_free_elsewhere() {
        let taken = NetError::Conflict { object: "xcbr0".to_owned() };
        let elsewhere = "`--netns private` gives the cluster a network namespace of its own";
        check("bridge", taken, Exit::IN_USE, Some(elsewhere));
        let taken = NetError::Conflict { object: "xcbr0".to_owned() };
        let own = "`--netns private --set ovs.instance=private` gives the cluster an Open vSwitch where nobody else is";
        check("ovs", taken, Exit::IN_USE, Some(own));
    }
}
