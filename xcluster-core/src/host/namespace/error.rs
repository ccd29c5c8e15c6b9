//! Why a network namespace cannot be made or used, and the command that helps.

use std::fs;
use std::io;

use nix::errno::Errno;

use super::child::FetchStage;
use super::netns_name::NamedNetns;

use crate::error_chain;

/// Why a network namespace cannot be made or used.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// The host forbids user namespaces, to all users or to this one.
    #[error("this host does not allow users to make user namespaces: {why}")]
    Forbidden {
        /// The setting that forbids it, as far as it is known.
        why: String,
        /// The command that allows it, if one is known.
        remedy: Option<&'static str>,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Taps cannot be made, since `/dev/net/tun` cannot be opened.
    #[error("cannot open `/dev/net/tun`")]
    Tun(#[source] io::Error),
    /// There is no namespace of that name.
    #[error("there is no network namespace `{0}`")]
    Absent(NamedNetns),
    /// It belongs to another user.
    #[error("the network namespace `{0}` belongs to another user")]
    NotYours(NamedNetns),
    /// It cannot be used.
    #[error("cannot use the network namespace `{name}`")]
    Named {
        /// Its name.
        name: NamedNetns,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A system call failed.
    #[error("cannot make a network namespace")]
    Io(#[source] io::Error),
}

error_chain::readable_debug!(NamespaceError);

/// A setting of Debian's kernels; 0 forbids user namespaces.
const USERNS_CLONE: &str = "/proc/sys/kernel/unprivileged_userns_clone";
/// A setting of every kernel; 0 forbids them.
const USERNS_MAX: &str = "/proc/sys/user/max_user_namespaces";
/// A setting of Ubuntu's kernels; 1 forbids them.
const APPARMOR: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

impl NamespaceError {
    /// The command that helps, if one is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Forbidden { remedy, .. } => remedy.map(str::to_owned),
            Self::Tun(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("sudo chmod 0666 /dev/net/tun".to_owned())
            }
            Self::Tun(source) if is_absent(source) => Some("sudo modprobe tun".to_owned()),
            Self::Absent(name) | Self::NotYours(name) => {
                name.index().map(|index| format!("sudo xcluster nsadd {index}"))
            }
            Self::Tun(_) | Self::Named { .. } | Self::Io(_) => None,
        }
    }

    /// The error for a child that failed at a stage.
    pub(super) fn forbidden(stage: FetchStage, source: io::Error) -> Self {
        if matches!(
            stage,
            FetchStage::Child | FetchStage::Owner | FetchStage::Open | FetchStage::EnterUser | FetchStage::EnterNet
        ) {
            return Self::Io(source);
        }
        let setting = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let (why, remedy) = why(stage, &source, setting);
        Self::Forbidden { why, remedy, source }
    }
}

/// Whether a file, or the driver behind it, does not exist.
fn is_absent(error: &io::Error) -> bool {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
    matches!(errno, Errno::ENOENT | Errno::ENODEV | Errno::ENXIO)
}

/// The setting of the host that explains the failure, and the command that changes it.
fn why(
    stage: FetchStage,
    source: &io::Error,
    setting: impl Fn(&str) -> Option<String>,
) -> (String, Option<&'static str>) {
    let is = |path: &str, value: &str| setting(path).as_deref() == Some(value);
    if is(USERNS_CLONE, "0") {
        let remedy = "sudo sysctl -w kernel.unprivileged_userns_clone=1";
        return ("`kernel.unprivileged_userns_clone` is 0".to_owned(), Some(remedy));
    }
    if is(USERNS_MAX, "0") {
        let remedy = "sudo sysctl -w user.max_user_namespaces=10000";
        return ("`user.max_user_namespaces` is 0".to_owned(), Some(remedy));
    }
    if is(APPARMOR, "1") {
        let remedy = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
        return ("AppArmor restricts user namespaces".to_owned(), Some(remedy));
    }
    match (stage, Errno::from_raw(source.raw_os_error().unwrap_or_default())) {
        (_, Errno::ENOSPC) => {
            let remedy = "sudo sysctl -w user.max_user_namespaces=10000 user.max_net_namespaces=10000";
            ("the limit of user namespaces is reached".to_owned(), Some(remedy))
        }
        (_, Errno::EINVAL | Errno::ENOSYS) => ("its kernel does not support them".to_owned(), None),
        (FetchStage::Loopback, _) => ("a process has no privilege in its own user namespace".to_owned(), None),
        _ => ("a container or a security module forbids it".to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The explanation on a host where `path` is `value`.
    fn check(stage: FetchStage, errno: Errno, path: &str, value: &str, expected: &str, remedy: Option<&str>) {
        let setting = |asked: &str| (asked == path).then(|| value.to_owned());
        let (text, command) = why(stage, &errno.into(), setting);
        assert_eq!((text.as_str(), command), (expected, remedy));
    }

    #[test]
    fn a_missing_namespace_is_made_by_its_number() {
        let remedy = |name: &str| NamespaceError::Absent(NamedNetns::new(name).unwrap()).remedy();
        assert_eq!(remedy("alice_xcluster7").as_deref(), Some("sudo xcluster nsadd 7"));
        assert_eq!(remedy("blue"), None);
    }

    #[test]
    fn the_setting_that_forbids_it_is_named_with_the_command_against_it() {
        let debian = Some("sudo sysctl -w kernel.unprivileged_userns_clone=1");
        check(FetchStage::NewUser, Errno::EPERM, USERNS_CLONE, "0", "`kernel.unprivileged_userns_clone` is 0", debian);
        let none = Some("sudo sysctl -w user.max_user_namespaces=10000");
        check(FetchStage::NewUser, Errno::ENOSPC, USERNS_MAX, "0", "`user.max_user_namespaces` is 0", none);
        let ubuntu = Some("sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0");
        check(FetchStage::Loopback, Errno::EPERM, APPARMOR, "1", "AppArmor restricts user namespaces", ubuntu);
        check(
            FetchStage::NewUser,
            Errno::EPERM,
            USERNS_CLONE,
            "1",
            "a container or a security module forbids it",
            None,
        );
        check(
            FetchStage::Loopback,
            Errno::EPERM,
            APPARMOR,
            "0",
            "a process has no privilege in its own user namespace",
            None,
        );
    }
}
