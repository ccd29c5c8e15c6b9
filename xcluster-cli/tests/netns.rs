//! `nsadd` and `nsdel` as somebody meets them who is not root. Nothing here may run as root: it would be this machine's network
//! that is changed. What they do is tested in xcluster-net-bridge.

use assert_cmd::Command;

/// The exit code and what was said, or nothing where it would be done.
fn refused(args: &[&str]) -> Option<(Option<i32>, String)> {
    if nix::unistd::Uid::effective().is_root() {
        eprintln!("not tried as root: {args:?}");
        return None;
    }
    let output = Command::cargo_bin("xcluster").unwrap().env_clear().args(args).output().unwrap();
    assert!(output.stdout.is_empty());
    Some((output.status.code(), String::from_utf8(output.stderr).unwrap()))
}

#[test]
fn who_is_not_root_is_told_what_to_type() {
    for command in ["nsadd", "nsdel"] {
        let Some((code, said)) = refused(&[command, "1", "--owner", "root"]) else { return };
        let what = if command == "nsadd" { "prepare" } else { "remove" };
        let expected = format!(
            "error: cannot {what} network namespace 1\n  caused by: this needs root\n\n\
             hint: `sudo xcluster {command} 1 --owner root`\n"
        );
        assert_eq!((code, said), (Some(1), expected));
    }
}

#[test]
fn a_number_that_does_not_fit_is_a_wrong_command_line() {
    let Some((code, said)) = refused(&["nsadd", "128"]) else { return };
    assert_eq!(code, Some(2));
    assert!(said.contains("`128` is not the number of a network namespace: there are 0 to 127"), "{said}");
}

#[test]
fn an_owner_whom_the_host_does_not_know_is_reported() {
    let Some((code, said)) = refused(&["nsadd", "1", "--owner", "no-such-user"]) else { return };
    assert_eq!(code, Some(3));
    assert!(said.starts_with("error: there is no user `no-such-user`\n"), "{said}");
}
