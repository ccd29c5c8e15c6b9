//! What is looked at on this host besides QEMU and the guest. Changes nothing; each judgement is a function of what was
//! read.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use xcluster_core::host::available_memory;
use xcluster_core::plan::Plan;

use super::check::Check;

/// Whether the default cluster fits into memory; a start refuses it else.
pub(super) fn memory(plan: Option<&Plan>) -> Check {
    judge_memory(available_memory(), plan.map_or(0, Plan::memory))
}

fn judge_memory(available: Option<u64>, wanted: u64) -> Check {
    const WHAT: &str = "memory";
    match available {
        None => Check::poor(WHAT, "cannot be told", "mount `/proc`"),
        Some(mib) if mib < wanted => Check::bad(
            WHAT,
            format!("{mib} MiB are available, and the default cluster takes {wanted}"),
            "start fewer nodes, as with `xcluster start --nvm 2 --nrouters 1`",
        ),
        Some(mib) => Check::good(WHAT, format!("{mib} MiB are available")),
    }
}

/// Whether folders of clusters can be made.
pub(super) fn runtime_folder(base: &Path) -> Check {
    const WHAT: &str = "runtime folder";
    let existing = base.ancestors().find(|folder| folder.exists()).unwrap_or(base);
    match nix::unistd::access(existing, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK) {
        Ok(()) => Check::good(WHAT, base.display().to_string()),
        Err(errno) => Check::bad(
            WHAT,
            format!("`{}` cannot be written to: {}", existing.display(), errno.desc()),
            "export XDG_RUNTIME_DIR=$(mktemp -d)",
        ),
    }
}

/// Whether `xcluster ssh` has a client to run.
pub(super) fn ssh() -> Check {
    const WHAT: &str = "ssh";
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|folder| folder.join("ssh")).find(|program| program.is_file()) {
        Some(program) => Check::good(WHAT, program.display().to_string()),
        None => Check::poor(
            WHAT,
            "not there: `xcluster ssh` does not work, `xcluster vm` does",
            "sudo apt-get install --no-install-recommends openssh-client",
        ),
    }
}

/// Whether taps can be made, which networks with kernel bridges need.
pub(super) fn tun() -> Check {
    const WHAT: &str = "/dev/net/tun";
    judge_tun(WHAT, OpenOptions::new().read(true).write(true).open(WHAT).map(drop))
}

fn judge_tun(what: &'static str, opened: io::Result<()>) -> Check {
    match opened {
        Ok(()) => Check::good(what, "can be opened"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Check::poor(what, "not there; only networks on kernel bridges need it", "sudo modprobe tun")
        }
        Err(error) => Check::poor(
            what,
            format!("cannot be opened: {error}; only networks on kernel bridges need it"),
            "sudo chmod 0666 /dev/net/tun",
        ),
    }
}

/// Whether an ordinary user may make namespaces, which networks with kernel bridges need.
pub(super) fn user_namespaces() -> Check {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
    judge_namespaces(
        number("/proc/sys/user/max_user_namespaces"),
        number("/proc/sys/kernel/unprivileged_userns_clone"),
        number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
    )
}

/// `clone` is Debian's switch, `restricted` is Ubuntu's; elsewhere they do not exist.
fn judge_namespaces(max: Option<u64>, clone: Option<u64>, restricted: Option<u64>) -> Check {
    const WHAT: &str = "user namespaces";
    const WHY: &str = "only networks on kernel bridges need them";
    let poor = |found: &str, fix: &str| Check::poor(WHAT, format!("{found}; {WHY}"), fix);
    match (max, clone, restricted) {
        (None, ..) => poor("the kernel has none", "use a kernel with CONFIG_USER_NS"),
        (Some(0), ..) => poor("none may be made", "sudo sysctl user.max_user_namespaces=15000"),
        (_, Some(0), _) => poor("reserved to root", "sudo sysctl kernel.unprivileged_userns_clone=1"),
        (.., Some(1..)) => poor("restricted by AppArmor", "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
        _ => Check::good(WHAT, "may be made"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn memory_is_enough_if_the_default_cluster_starts() {
        assert_eq!(judge_memory(Some(767), 768).verdict, Verdict::Bad);
        assert_eq!(judge_memory(Some(768), 768).verdict, Verdict::Good);
        assert_eq!(judge_memory(None, 768).verdict, Verdict::Poor);
    }

    #[test]
    fn each_way_to_forbid_namespaces_has_its_own_remedy() {
        let check = |max, clone, restricted, fix: Option<&str>| {
            assert_eq!(judge_namespaces(max, clone, restricted).fix.as_deref(), fix);
        };
        check(Some(1000), None, None, None);
        check(Some(1000), Some(1), Some(0), None);
        check(Some(0), None, None, Some("sudo sysctl user.max_user_namespaces=15000"));
        check(Some(1000), Some(0), None, Some("sudo sysctl kernel.unprivileged_userns_clone=1"));
        check(Some(1000), None, Some(1), Some("sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"));
    }

    #[test]
    fn a_forbidden_tun_device_is_told_with_its_remedy() {
        let check = judge_tun("/dev/net/tun", Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(check.fix.as_deref(), Some("sudo chmod 0666 /dev/net/tun"));
        assert_eq!(judge_tun("/dev/net/tun", Ok(())).verdict, Verdict::Good);
    }

    #[test]
    fn a_runtime_folder_that_does_not_exist_yet_is_judged_by_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(runtime_folder(&folder.path().join("a/b")).verdict, Verdict::Good);
        assert_eq!(runtime_folder(Path::new("/dev/null/xcluster")).verdict, Verdict::Bad);
    }
}
