//! The errors of Open vSwitch as errors of the backend API, and the command that helps.

use std::io;

use xcluster_core::host::HostLockError;
use xcluster_core::net::NetError;
use xcluster_core::topology::Problems;

const INSTALL: &str = "sudo apt-get install --no-install-recommends openvswitch-switch";

/// A failure of Open vSwitch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SwitchError {
    /// A program cannot be executed.
    #[error("cannot run `{program}`")]
    NotRun {
        program: String,
        #[source]
        source: io::Error,
    },
    /// A program took too long.
    #[error("`{program}` did not end within {seconds} s")]
    Late { program: String, seconds: u64 },
    /// A program reported an error.
    #[error("`{program}` says: {said}")]
    Refused { program: String, said: String },
    /// The database accepted a change that the switch could not carry out.
    #[error("Open vSwitch says of `{interface}`: {said}")]
    Interface { interface: String, said: String },
    /// A program's output cannot be parsed.
    #[error("the output of `{program}` cannot be read: {said}")]
    Unreadable { program: String, said: String },
    /// Several changes were sent together, and none was carried out.
    #[error("{0}")]
    Together(String),
    /// The private instance has ended.
    #[error("the cluster's Open vSwitch has ended: {0}")]
    Ended(String),
    /// The caller was cancelled.
    #[error("Open vSwitch was not asked: the cluster is ending")]
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

/// The last error of a program on its standard error, without the program's name and the time.
pub(crate) fn said(stderr: &str, program: &str) -> Option<String> {
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty())?;
    let plain = last.strip_prefix(&format!("{program}: ")).unwrap_or(last);
    // Lines such as `2026-01-01T00:00:00Z|00001|module|WARN|text` are also in a log; the text is enough.
    let text = if plain.split('|').count() > 4 { plain.splitn(5, '|').last().unwrap_or(plain) } else { plain };
    Some(text.trim().to_owned())
}

/// Programs are not installed.
pub(crate) fn missing(programs: &[&str], of: usize) -> NetError {
    let names: Vec<String> = programs.iter().map(|name| format!("`{name}`")).collect();
    let what = if programs.len() == of {
        format!("Open vSwitch is not installed: there is no {}", names.join(", no "))
    } else {
        format!("Open vSwitch is installed in part: there is no {}", names.join(", no "))
    };
    NetError::Unsupported { what, remedy: Some(INSTALL.to_owned()) }
}

/// The installed version is too old.
pub(crate) fn too_old(found: (u32, u32), oldest: (u32, u32)) -> NetError {
    let what = format!("Open vSwitch is {}.{}, and at least {}.{} is needed", found.0, found.1, oldest.0, oldest.1);
    NetError::Unsupported { what, remedy: Some(INSTALL.to_owned()) }
}

/// Another program has the name.
pub(crate) fn no_version(program: &str, said: &str) -> NetError {
    let said = said.lines().next().unwrap_or("nothing");
    NetError::unsupported(format!("`{program}` is not one of Open vSwitch: it says `{said}` of its version"))
}

/// All problems of the configuration, on one line.
pub(crate) fn refused(problems: &Problems) -> NetError {
    let all: Vec<String> = problems.iter().map(|problem| spoken(&problem.place, &problem.message)).collect();
    NetError::Refused(all.join("; "))
}

fn spoken(key: &str, message: &str) -> String {
    if key.is_empty() { message.to_owned() } else { format!("backend.ovs.{key}: {message}") }
}

/// The error of a call that comes before another one that it needs.
pub(crate) fn too_early(call: &str) -> NetError {
    let message = format!("`{call}` was called before what makes the net ready for it");
    NetError::Other { message, source: None }
}

/// The namespace does not allow links.
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

/// Another cluster holds a lock.
pub(crate) fn not_locked(error: HostLockError, system: bool) -> NetError {
    match error {
        HostLockError::Taken { what, holder } => {
            NetError::InUse { what: readable_lock(&what, system), by: format!("the cluster of {holder}") }
        }
        other => NetError::Other { message: "cannot lock the nets".to_owned(), source: Some(Box::new(other)) },
    }
}

/// The meaning of a host lock, for people.
fn readable_lock(lock: &str, system: bool) -> String {
    match lock.split_once('/') {
        Some(("bridge", name)) if system => format!("the host's address on net {}", name.trim_start_matches("xcbr")),
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
