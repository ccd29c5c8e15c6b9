//! Our own files in the standard image: init scripts and configuration. They configure the internal net only; the other nets
//! are configured by the topology's overlay.

use super::initramfs::{CHARACTER, Node, Tree};

/// The path of the agent in a guest.
pub const AGENT: &str = "usr/sbin/xcluster-agent";

const SCRIPTS: &[(&str, &str)] = &[
    ("etc/init.d/rcS", include_str!("rootfs_base/rcS")),
    ("usr/lib/xcluster/run-lazy-program", include_str!("rootfs_base/run-lazy-program")),
    ("usr/sbin/xcluster-login", include_str!("rootfs_base/login")),
];

const FILES: &[(&str, &str)] = &[
    ("etc/fstab", include_str!("rootfs_base/fstab")),
    ("etc/group", include_str!("rootfs_base/group")),
    ("etc/hosts", include_str!("rootfs_base/hosts")),
    ("etc/inittab", include_str!("rootfs_base/inittab")),
    ("etc/nsswitch.conf", include_str!("rootfs_base/nsswitch.conf")),
    ("etc/os-release", include_str!("rootfs_base/os-release")),
    ("etc/passwd", include_str!("rootfs_base/passwd")),
    ("etc/profile", include_str!("rootfs_base/profile")),
    ("etc/resolv.conf", include_str!("rootfs_base/resolv.conf")),
    ("etc/shells", include_str!("rootfs_base/shells")),
];

const SHADOW: (&str, &str) = ("etc/shadow", include_str!("rootfs_base/shadow"));

const FOLDERS: &[&str] =
    &["dev", "etc/dropbear", "mnt", "proc", "root", "run/xcluster", "sys", "tmp", "var/lib", "var/log", "var/tmp"];

/// Returns our files and the agent.
pub(super) fn tree(agent: &[u8]) -> Tree {
    let mut tree = Tree::default();
    // The kernel creates the root folder writable for all users.
    tree.put(".", Node::Directory { mode: 0o755 });
    for folder in FOLDERS {
        tree.directory(folder);
    }
    for (path, content) in FILES {
        tree.file(path, 0o644, *content);
    }
    // Root's empty password is in shadow, not in passwd: busybox refuses a user whose password is empty in passwd.
    tree.file(SHADOW.0, 0o600, SHADOW.1);
    for (path, content) in SCRIPTS {
        tree.file(path, 0o755, *content);
    }
    tree.file(AGENT, 0o755, agent);
    // The kernel runs /init; busybox acts by the name that it is called by.
    tree.symlink("init", "bin/busybox");
    tree.symlink("var/run", "/run");
    // The kernel and init open these before /dev is mounted.
    tree.put("dev/console", Node::Special { mode: CHARACTER | 0o600, major: 5, minor: 1 });
    tree.put("dev/null", Node::Special { mode: CHARACTER | 0o666, major: 1, minor: 3 });
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_has_the_agent_and_the_files_that_init_needs() {
        let tree = tree(b"agent");
        assert_eq!(tree.at(AGENT), Some(&Node::File { mode: 0o755, content: b"agent".to_vec() }));
        assert!(tree.at("init").is_some() && tree.at("dev/console").is_some());
    }

    #[test]
    fn only_root_has_an_empty_password() {
        let without_password = |line: &&str| line.split(':').nth(1) == Some("");
        let (_, passwd) = FILES.iter().find(|(path, _)| *path == "etc/passwd").unwrap();
        assert_eq!(passwd.lines().find(without_password), None, "busybox refuses such a user");
        assert_eq!(SHADOW.1.lines().filter(without_password).collect::<Vec<_>>(), ["root::::::::"]);
    }
}
