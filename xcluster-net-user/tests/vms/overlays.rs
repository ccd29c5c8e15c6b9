//! Expectations about a user's own overlays, in each of their forms.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use xcluster_core::Cluster;

use crate::harness::run;

/// Makes an overlay of each form: a folder, a tar, and a folder with an executable `tar` that writes one.
pub(crate) fn sample(dir: &Path) -> Vec<PathBuf> {
    let folder = dir.join("folder");
    fs::create_dir_all(folder.join("etc/init.d")).unwrap();
    fs::write(folder.join("etc/from-folder"), "folder\n").unwrap();
    fs::write(folder.join("etc/both"), "folder\n").unwrap();
    let script = folder.join("etc/init.d/50own.rc");
    fs::write(&script, "#!/bin/sh\nip -br address show dev lo >/run/own-script\n").unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();

    let tar = dir.join("overlay.tar");
    let mut archive = tar::Builder::new(fs::File::create(&tar).unwrap());
    for (path, content) in [("etc/from-tar", "tar\n"), ("etc/both", "tar\n")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o640);
        archive.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    archive.finish().unwrap();

    let program = dir.join("program");
    fs::create_dir(&program).unwrap();
    fs::write(program.join("tar"), PROGRAM).unwrap();
    fs::set_permissions(program.join("tar"), PermissionsExt::from_mode(0o755)).unwrap();
    vec![folder, tar, program]
}

/// What overlays of the original xcluster look like: the argument is the file to write, `-` for standard output.
const PROGRAM: &str = r#"#!/bin/sh -e
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/etc"
echo program >"$tmp/etc/from-program"
tar -C "$tmp" -cf "$1" .
"#;

/// All of them are there, a later one wins, and its init scripts have run when a node is ready.
pub(crate) async fn overlays_of_every_form_are_unpacked(cluster: &Cluster) {
    for node in [1, 201] {
        for form in ["folder", "tar", "program"] {
            assert_eq!(run(cluster, node, format!("cat /etc/from-{form}")).await, form);
        }
        assert_eq!(run(cluster, node, "cat /etc/both").await, "tar");
        assert_eq!(run(cluster, node, "stat -c %a /etc/from-tar").await, "640");
        assert!(run(cluster, node, "cat /run/own-script").await.contains("127.0.0.1"));
    }
}
