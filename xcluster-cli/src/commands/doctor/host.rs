//! Checks of this host besides QEMU and the guest. Changes nothing; each verdict is a function of the values that were read.

use std::path::Path;

use xcluster_core::host::{available_memory, folder};
use xcluster_core::net::NetBackend;
use xcluster_core::plan::Plan;
use xcluster_net_ovs::OvsBackend;

use super::check::Check;
use crate::report::one_line;
use crate::settings::DefaultBackend;

/// Whether the default cluster fits into memory; otherwise a start is refused.
pub(super) fn memory(plan: Option<&Plan>) -> Check {
    judge_memory(available_memory(), plan.map_or(0, Plan::memory))
}

fn judge_memory(available: Option<u64>, wanted: u64) -> Check {
    const WHAT: &str = "memory";
    match available {
        None => Check::poor(WHAT, "unknown", "mount `/proc`"),
        Some(mib) if mib < wanted => Check::bad(
            WHAT,
            format!("{mib} MiB are available, but the default cluster needs {wanted}"),
            "start fewer nodes, for example `xcluster start --nvm 2 --nrouters 1`",
        ),
        Some(mib) => Check::good(WHAT, format!("{mib} MiB are available")),
    }
}

/// Whether runtime folders of clusters can be created.
pub(super) fn runtime_folder(base: &Path) -> Check {
    const WHAT: &str = "runtime folder";
    if let Err(error) = folder::check(base) {
        let fix = error.remedy().unwrap_or_default();
        return Check::bad(WHAT, one_line(&error), fix);
    }
    let existing = base.ancestors().find(|folder| folder.exists()).unwrap_or(base);
    match nix::unistd::access(existing, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK) {
        Ok(()) => Check::good(WHAT, base.display().to_string()),
        Err(errno) => Check::bad(
            WHAT,
            format!("`{}` is not writable: {}", existing.display(), errno.desc()),
            "export XDG_RUNTIME_DIR=$(mktemp -d)",
        ),
    }
}

/// Whether the client for `xcluster ssh` is installed.
pub(super) fn ssh() -> Check {
    program("ssh", "ssh", "`xcluster ssh` does not work, `xcluster vm` does", "openssh-client")
}

/// Whether a private network namespace can have an uplink.
pub(super) fn uplink() -> Check {
    program("uplink", "pasta", "`--uplink` does not work", "passt")
}

/// Whether a cluster can have a private Open vSwitch.
pub(super) fn ovs() -> Check {
    const WHAT: &str = "Open vSwitch";
    match OvsBackend::default().usable() {
        Ok(()) => Check::good(WHAT, "`--net ovs` can start a private instance"),
        Err(error) => {
            let fix = error.remedy().map(str::to_owned);
            Check { fix, ..Check::poor(WHAT, format!("`--net ovs` does not work: {}", one_line(&error)), "") }
        }
    }
}

/// Whether a program is installed; `without` is the consequence if not.
fn program(what: &'static str, name: &str, without: &str, package: &str) -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file()) {
        Some(program) => Check::good(what, program.display().to_string()),
        None => Check::poor(
            what,
            format!("`{name}` is not installed: {without}"),
            format!("sudo apt-get install --no-install-recommends {package}"),
        ),
    }
}

/// The default backend.
pub(super) fn nets(choice: Option<&DefaultBackend>) -> Check {
    const WHAT: &str = "nets";
    match choice {
        Some(choice) if !choice.is_preferred() => {
            let fix = choice.remedy().map(str::to_owned);
            Check { fix, ..Check::poor(WHAT, choice.to_string(), "") }
        }
        choice => Check::good(WHAT, choice.map(ToString::to_string).unwrap_or_default()),
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
    fn a_missing_runtime_folder_is_judged_by_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(runtime_folder(&folder.path().join("a/b")).verdict, Verdict::Good);
        assert_eq!(runtime_folder(Path::new("/dev/null/xcluster")).verdict, Verdict::Bad);
    }

    #[test]
    fn a_runtime_folder_that_a_start_refuses_is_bad_and_comes_with_a_fix() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&open, &link).unwrap();
        for (refused, fix) in [(&open, "chmod 0700"), (&link, "export XDG_RUNTIME_DIR=")] {
            let check = runtime_folder(refused);
            assert_eq!(check.verdict, Verdict::Bad);
            assert!(check.fix.as_deref().is_some_and(|command| command.starts_with(fix)), "{check:?}");
        }
    }
}
