//! The client against a fake agent, and against the real one, run on this machine.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::client::encode;
use super::{MOST_OUTPUT, Qga};
use crate::guest::any_agent::AnyAgent;
use crate::guest::exec::{Command, ExecError, Output, Status};
use crate::qemu::json_lines::{LineReader, LineWriter, json_lines};

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(120), future).await.expect("this should have happened long ago")
}

/// The guest's end, controlled by the test.
struct Fake {
    reader: LineReader,
    writer: LineWriter,
}

impl Fake {
    fn pair() -> (Qga, Self) {
        let (here, there) = UnixStream::pair().unwrap();
        let (reader, writer) = json_lines(there, 1 << 20);
        (Qga::new(here), Self { reader, writer })
    }

    async fn hear(&mut self) -> (String, Value) {
        let mut asked = soon(self.reader.next()).await.unwrap();
        (asked["execute"].as_str().unwrap().into(), asked["arguments"].take())
    }

    async fn answer(&mut self, value: Value) {
        self.writer.send_anew(&json!({ "return": value })).await.unwrap();
    }

    async fn agree(&mut self) {
        let (command, arguments) = self.hear().await;
        assert_eq!(command, "guest-sync-delimited");
        self.answer(arguments["id"].clone()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_is_polled_until_it_answers_and_late_answers_are_discarded() {
    let (qga, mut fake) = Fake::pair();
    let guest = async {
        let (_, first) = fake.hear().await;
        let (_, second) = fake.hear().await;
        assert_ne!(first["id"], second["id"]);
        fake.answer(first["id"].clone()).await;
        fake.answer(second["id"].clone()).await;
        assert_eq!(fake.hear().await.0, "guest-get-host-name");
        fake.answer(json!({ "host-name": "debian" })).await;
    };
    let (ready, ()) = tokio::join!(qga.ready(), guest);
    assert_eq!(ready.unwrap().hostname, "debian");
}

#[tokio::test]
async fn an_interrupted_request_does_not_shift_the_answers() {
    let (qga, mut fake) = Fake::pair();
    let asked = tokio::spawn({
        let qga = qga.clone();
        async move { qga.call("guest-info", Value::Null).await }
    });
    fake.agree().await;
    fake.hear().await;
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    let guest = async {
        fake.answer(json!("too late")).await;
        fake.agree().await;
        fake.hear().await;
        fake.answer(json!("in time")).await;
    };
    let (answer, ()) = tokio::join!(qga.call("guest-info", Value::Null), guest);
    assert_eq!(answer.unwrap(), "in time");
}

#[tokio::test(start_paused = true)]
async fn a_request_to_a_silent_guest_times_out() {
    let (qga, mut fake) = Fake::pair();
    let output = qga.exec(&"true".into()).unwrap().output();
    let (output, ()) = tokio::join!(output, fake.agree());
    assert!(matches!(output.unwrap_err(), ExecError::Unresponsive { .. }));
}

#[tokio::test]
async fn pending_requests_fail_when_the_vm_ends() {
    let (qga, mut fake) = Fake::pair();
    let end = async {
        fake.agree().await;
        drop(fake);
    };
    let (output, ()) = tokio::join!(qga.exec(&"true".into()).unwrap().output(), end);
    assert_eq!(output.unwrap_err().to_string(), "lost the connection to the guest: its VM has ended");
}

#[tokio::test]
async fn output_that_the_agent_truncated_is_an_error() {
    let (qga, mut fake) = Fake::pair();
    let guest = async {
        fake.agree().await;
        assert_eq!(fake.hear().await.0, "guest-exec");
        fake.answer(json!({ "pid": 7 })).await;
        assert_eq!(fake.hear().await, ("guest-exec-status".into(), json!({ "pid": 7 })));
        fake.answer(json!({ "exited": true, "exitcode": 0, "out-data": encode(b"x"), "out-truncated": true })).await;
    };
    let (output, ()) = tokio::join!(qga.exec(&"yes".into()).unwrap().output(), guest);
    assert!(matches!(output.unwrap_err(), ExecError::TooMuchOutput { limit: MOST_OUTPUT, .. }));
}

#[tokio::test]
async fn a_refusal_is_reported_with_the_agents_text() {
    let (qga, mut fake) = Fake::pair();
    let guest = async {
        fake.agree().await;
        fake.hear().await;
        let error = json!({ "class": "CommandNotFound", "desc": "Command guest-exec has been disabled" });
        fake.writer.send(&json!({ "error": error })).await.unwrap();
    };
    let (output, ()) = tokio::join!(qga.exec(&"true".into()).unwrap().output(), guest);
    match output.unwrap_err() {
        ExecError::Refused { what, source } => {
            assert_eq!(what, "qemu-ga refused `guest-exec`");
            assert_eq!(source.to_string(), "Command guest-exec has been disabled");
        }
        other => panic!("not refused: {other}"),
    }
}

#[tokio::test]
async fn input_cannot_be_streamed() {
    let (qga, _fake) = Fake::pair();
    let error = qga.exec(&Command::new("cat").stream_stdin()).unwrap_err();
    assert_eq!(error.to_string(), "qemu-ga cannot stream input");
}

/// qemu-ga as a process on this host.
struct Real {
    agent: AnyAgent,
    process: Child,
    _state: TempDir,
}

impl Real {
    async fn start() -> Option<Self> {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("socket");
        // The socket is passed as systemd does it, so the test need not wait for the path to appear.
        let listener = UnixListener::bind(&path).unwrap();
        let mut process = Process::new("sh");
        process.args(["-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec qemu-ga -m unix-listen -t \"$0\" -f \"$0/pid\""]);
        process.arg(state.path()).stdin(Stdio::null());
        process.fd_mappings(vec![FdMapping { parent_fd: OwnedFd::from(listener), child_fd: 3 }]).unwrap();
        if !Process::new("qemu-ga").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        {
            eprintln!("SKIPPED: no qemu-ga here (package qemu-guest-agent)");
            return None;
        }
        let process = process.spawn().unwrap();
        let qga = Qga::new(UnixStream::connect(&path).await.unwrap());
        let real = Self { agent: AnyAgent::Qga(qga), process, _state: state };
        let ready = soon(real.agent.ready()).await.unwrap();
        assert_eq!(ready.hostname, fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim());
        Some(real)
    }

    async fn run(&self, command: impl Into<Command>) -> Output {
        soon(self.agent.exec(&command.into()).unwrap().output()).await.unwrap()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn the_real_agent_runs_commands() {
    let Some(real) = Real::start().await else { return };
    let output =
        real.run(Command::from("cat; echo \"$A $PWD\" >&2; exit 3").stdin("in").env("A", "b c").current_dir("/tmp"));
    let output = output.await;
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (b"in".as_slice(), b"b c /tmp\n".as_slice()));
    assert_eq!(output.status, Status::Code(3));
    assert_eq!(real.run("kill -9 $$").await.status, Status::Signal(9));
    let runs = (0..5).map(|n| real.run(format!("sleep 1; echo {n}")));
    let begun = Instant::now();
    for (n, output) in futures::future::join_all(runs).await.iter().enumerate() {
        assert_eq!(output.text(), n.to_string());
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "not one after the other");
}

#[tokio::test]
async fn the_real_agent_kills_a_command_and_its_children_at_the_deadline() {
    let Some(real) = Real::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!("exec 9>{}; sleep 1004 & wait", fifo.display());
    let command = Command::from(script).timeout(Duration::from_secs(1));
    let (output, closed) = tokio::join!(real.run(command), real.run(Command::new("cat").arg(&fifo)));
    assert_eq!(output.status, Status::TimedOut);
    // The reader ends when the last process that holds the other end is dead.
    assert!(closed.status.success());
}

#[tokio::test]
async fn the_real_agent_copies_files() {
    let Some(real) = Real::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let (source, inside, back) = (dir.path().join("source"), dir.path().join("inside"), dir.path().join("back"));
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(&source, &content).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o751)).unwrap();
    soon(real.agent.copy_in(&source, &inside)).await.unwrap();
    assert!(fs::read(&inside).unwrap() == content);
    let copied = soon(real.agent.copy_out(&inside, &back)).await.unwrap();
    assert_eq!((copied.bytes, copied.mode), (3_000_000, 0o751));
    assert!(fs::read(&back).unwrap() == content);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "no part is left");

    let onto =
        soon(real.agent.put(&mut b"x".as_slice(), dir.path().to_str().unwrap().as_bytes(), 0o644)).await.unwrap_err();
    assert!(onto.to_string().ends_with("not a regular file"), "{onto}");
    let missing = soon(real.agent.get(b"/no/such", &mut Vec::new())).await.unwrap_err();
    assert!(missing.to_string().contains("No such file"), "{missing}");
}
