//! What goes wrong with Open vSwitch, and how the few kinds of the backend API say it: what a host lacks, and which command gives it.

use std::io;

use xcluster_core::host::HostLockError;
use xcluster_core::net::NetError;
use xcluster_core::topology::Problems;

const INSTALL: &str = "sudo apt-get install --no-install-recommends openvswitch-switch";

/// How a program of Open vSwitch fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SwitchError {
    /// It does not run.
    #[error("cannot run `{program}`")]
    NotRun {
        program: String,
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("`{program}` did not end within {seconds} s")]
    Late { program: String, seconds: u64 },
    /// It said why.
    #[error("`{program}` says: {said}")]
    Refused { program: String, said: String },
    /// It carried out what it was told, and the switch did not.
    #[error("Open vSwitch says of `{interface}`: {said}")]
    Interface { interface: String, said: String },
    /// It answered something that nobody can read.
    #[error("`{program}` answered what is no answer: {said}")]
    Unreadable { program: String, said: String },
    /// Several were asked for together, and none was done.
    #[error("{0}")]
    Together(String),
    /// The cluster's own is not there any more.
    #[error("the cluster's Open vSwitch has ended: {0}")]
    Ended(String),
    /// Whoever asked it has given up.
    #[error("Open vSwitch was not asked: the cluster is on its way out")]
    GivenUp,
}

impl From<SwitchError> for NetError {
    fn from(trouble: SwitchError) -> Self {
        match trouble {
            SwitchError::NotRun { program, source } => Self::io(format!("run `{program}`"), source),
            other => Self::Other { message: other.to_string(), source: None },
        }
    }
}

/// What a program said last on its standard error, without its name and the time.
pub(crate) fn said(stderr: &str, program: &str) -> Option<String> {
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty())?;
    let plain = last.strip_prefix(&format!("{program}: ")).unwrap_or(last);
    // `2026-01-01T00:00:00Z|00001|module|WARN|text`: what is not meant for people has been told to a log.
    let text = if plain.split('|').count() > 4 { plain.splitn(5, '|').last().unwrap_or(plain) } else { plain };
    Some(text.trim().to_owned())
}

/// Programs are not there.
pub(crate) fn missing(programs: &[&str], of: usize) -> NetError {
    let names: Vec<String> = programs.iter().map(|name| format!("`{name}`")).collect();
    let what = if programs.len() == of {
        format!("Open vSwitch is not installed: there is no {}", names.join(", no "))
    } else {
        format!("Open vSwitch is installed in part: there is no {}", names.join(", no "))
    };
    NetError::Unsupported { what, remedy: Some(INSTALL.to_owned()) }
}

/// They are older than what they are used for.
pub(crate) fn too_old(found: (u32, u32), oldest: (u32, u32)) -> NetError {
    let what = format!("Open vSwitch is {}.{}, and at least {}.{} is needed", found.0, found.1, oldest.0, oldest.1);
    NetError::Unsupported { what, remedy: Some(INSTALL.to_owned()) }
}

/// Something else has their name.
pub(crate) fn no_version(program: &str, said: &str) -> NetError {
    let said = said.lines().next().unwrap_or("nothing");
    NetError::unsupported(format!("`{program}` is not one of Open vSwitch: it says `{said}` of its version"))
}

/// What is wrong with the configuration, on one line.
pub(crate) fn refused(problems: &Problems) -> NetError {
    let all: Vec<String> = problems.iter().map(|problem| spoken(&problem.place, &problem.message)).collect();
    NetError::Refused(all.join("; "))
}

fn spoken(key: &str, message: &str) -> String {
    if key.is_empty() { message.to_owned() } else { format!("backend.ovs.{key}: {message}") }
}

/// A call came before what it depends on.
pub(crate) fn too_early(call: &str) -> NetError {
    let message = format!("`{call}` was called before what makes the net ready for it");
    NetError::Other { message, source: None }
}

/// Links may not be made there.
pub(crate) fn no_privilege(system: bool) -> NetError {
    let (what, remedy) = if system {
        let what = "the host's Open vSwitch takes taps of the network namespace that it is in, which only root may make \
                    (CAP_NET_ADMIN)";
        (what, "sudo xcluster start --net ovs --set ovs.instance=system")
    } else {
        let what = "the network namespace may only be changed by root (CAP_NET_ADMIN)";
        (what, "sudo xcluster nsadd 1")
    };
    NetError::Unsupported { what: what.to_owned(), remedy: Some(remedy.to_owned()) }
}

/// The host's database does not answer.
pub(crate) fn no_database(db: &str, trouble: &SwitchError) -> NetError {
    let why = match trouble {
        SwitchError::Refused { said, .. } => said.clone(),
        other => other.to_string(),
    };
    let remedy = if why.contains("ermission denied") {
        "sudo xcluster start --net ovs --set ovs.instance=system"
    } else {
        "sudo systemctl start openvswitch-switch"
    };
    NetError::Unsupported {
        what: format!("the host's Open vSwitch cannot be asked at `{db}`: {why}"),
        remedy: Some(remedy.to_owned()),
    }
}

/// Something is another cluster's.
pub(crate) fn not_locked(error: HostLockError, system: bool) -> NetError {
    match error {
        HostLockError::Taken { what, holder } => {
            NetError::InUse { what: readable_lock(&what, system), by: format!("the cluster of {holder}") }
        }
        other => NetError::Other { message: "cannot lock the nets".to_owned(), source: Some(Box::new(other)) },
    }
}

/// What a host lock is on, for people.
fn readable_lock(lock: &str, system: bool) -> String {
    match lock.split_once('/') {
        Some(("bridge", name)) if system => format!("the host's place on net {}", name.trim_start_matches("xcbr")),
        Some(("bridge", name)) => format!("bridge {name}"),
        Some(("ovs", "datapath")) => "the namespace's one datapath in user space".to_owned(),
        Some(("ovs", prefix)) => format!("bridges {prefix}*"),
        _ => lock.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_said_is_without_its_name_and_the_time() {
        let check = |stderr: &str, expected: Option<&str>| assert_eq!(said(stderr, "ovs-vsctl").as_deref(), expected);
        check("ovs-vsctl: no bridge named x\n", Some("no bridge named x"));
        check("2026-01-01T00:00:00Z|00002|fatal_signal|WARN|terminating\n", Some("terminating"));
        check("first\n\nlast|word\n\n", Some("last|word"));
        check("\n", None);
    }

    #[test]
    fn what_is_not_installed_comes_with_the_command_that_installs_it() {
        let error = missing(&["ovsdb-server"], 5);
        assert_eq!(error.to_string(), "Open vSwitch is installed in part: there is no `ovsdb-server`");
        assert_eq!(error.remedy(), Some(INSTALL));
        let error = missing(&["ovs-vsctl", "ovs-ofctl"], 2);
        assert_eq!(error.to_string(), "Open vSwitch is not installed: there is no `ovs-vsctl`, no `ovs-ofctl`");
        assert_eq!(too_old((2, 9), (2, 10)).to_string(), "Open vSwitch is 2.9, and at least 2.10 is needed");
    }
}
