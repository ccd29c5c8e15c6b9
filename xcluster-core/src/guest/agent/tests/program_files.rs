//! Tests of copies with the real agent and the host's side.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command as Process;

use super::program::{PATH, Program};
use super::soon;
use crate::guest::any_agent::AnyAgent;
use crate::guest::exec::ExecError;

async fn agent() -> (Program, AnyAgent) {
    let program = Program::start().await;
    let agent = AnyAgent::Own(program.agent.clone());
    (program, agent)
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn refusal(error: ExecError) -> (String, io::ErrorKind) {
    match error {
        ExecError::Refused { what, source } => (what, source.kind()),
        other => panic!("not refused: {other}"),
    }
}

#[tokio::test]
async fn a_file_is_copied_in_and_out_unchanged() {
    let (_program, agent) = agent().await;
    let (here, guest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = here.path().join("source");
    for length in [0, 1, 32 * 1024, 20_000_000] {
        fs::write(&source, content(length)).unwrap();
        fs::set_permissions(&source, Permissions::from_mode(0o751)).unwrap();
        let inside = guest.path().join("source");
        let copied = soon(agent.copy_in(&source, &guest.path().join(""))).await.unwrap();
        assert_eq!((copied.bytes, copied.mode), (length as u64, 0o751));
        assert!(fs::read(&inside).unwrap() == content(length));
        assert_eq!(fs::metadata(&inside).unwrap().permissions().mode() & 0o7777, 0o751);

        let back = here.path().join("back");
        let copied = soon(agent.copy_out(&inside, &back)).await.unwrap();
        assert_eq!((copied.bytes, copied.mode), (length as u64, 0o751));
        assert!(fs::read(&back).unwrap() == content(length));
        assert_eq!(fs::metadata(&back).unwrap().permissions().mode() & 0o7777, 0o751);
    }
    assert_eq!(fs::read_dir(guest.path()).unwrap().count(), 1, "no part is left");
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 2, "no part is left");
}

#[tokio::test]
async fn a_file_of_proc_can_be_read() {
    let (_program, agent) = agent().await;
    let mut text = Vec::new();
    soon(agent.get(b"/proc/version", &mut text)).await.unwrap();
    assert_eq!(text, fs::read("/proc/version").unwrap());
}

#[tokio::test]
async fn a_link_is_followed_and_the_old_file_stays_until_the_new_one_is_complete() {
    let (_program, agent) = agent().await;
    let guest = tempfile::tempdir().unwrap();
    let (file, link) = (guest.path().join("file"), guest.path().join("link"));
    fs::write(&file, "old").unwrap();
    symlink("file", &link).unwrap();
    let path = link.to_str().unwrap().as_bytes();

    struct Broken(usize);
    impl tokio::io::AsyncRead for Broken {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            if self.0 == 0 {
                return std::task::Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            self.0 -= 1;
            buffer.put_slice(&[b'x'; 1000]);
            std::task::Poll::Ready(Ok(()))
        }
    }
    let error = soon(agent.put(&mut Broken(100), path, 0o644)).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read the file to copy on the host");
    // The agent handles requests in order, so the `.part` is removed before this command runs.
    soon(agent.put(&mut b"new".as_slice(), path, 0o600)).await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_dir(guest.path()).unwrap().count(), 2, "no part is left");
}

#[tokio::test]
async fn a_refusal_has_the_guests_reason() {
    let (_program, agent) = agent().await;
    let put =
        async |path: &str| refusal(soon(agent.put(&mut b"x".as_slice(), path.as_bytes(), 0o644)).await.unwrap_err());
    assert_eq!(put("/no/such/file").await, ("cannot write `/no/such/file`".into(), io::ErrorKind::NotFound));
    assert_eq!(put("/tmp").await, ("cannot write `/tmp`".into(), io::ErrorKind::IsADirectory));
    let get = async |path: &str| soon(agent.get(path.as_bytes(), &mut Vec::new())).await.unwrap_err();
    assert_eq!(refusal(get("/no/such").await), ("cannot read `/no/such`".into(), io::ErrorKind::NotFound));
    assert_eq!(refusal(get("/tmp").await), ("cannot read `/tmp`".into(), io::ErrorKind::IsADirectory));
    assert_eq!(get("/dev/zero").await.to_string(), "cannot read `/dev/zero`: not a regular file");
}

#[tokio::test]
async fn a_full_disk_is_reported_and_leaves_nothing() {
    let mut unshare = Process::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    if !unshare.arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no user namespaces here, so no small disk to fill");
        return;
    }
    let mut unshare = Process::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    unshare.args(["mount -t tmpfs -o size=64k none /mnt && exec \"$0\" \"$@\"", PATH]);
    let program = Program::start_by(unshare).await;
    let put = soon(program.agent.put(&mut vec![0; 10_000_000].as_slice(), b"/mnt/big", 0o644)).await;
    assert_eq!(refusal(put.unwrap_err()), ("cannot write the file".into(), io::ErrorKind::StorageFull));
    let left = soon(program.agent.exec(&"ls -A /mnt".into()).unwrap().output()).await.unwrap();
    assert_eq!(left.text(), "");
}

#[tokio::test]
async fn a_missing_file_of_the_host_is_an_error_that_names_the_host() {
    let (_program, agent) = agent().await;
    let error = soon(agent.copy_in("/no/such".as_ref(), "/tmp/x".as_ref())).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read `/no/such` on the host");
    let error = soon(agent.copy_out("/etc/hostname".as_ref(), "/no/such/place".as_ref())).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot write `/no/such/place` on the host");
}
