//! Tests of the client with a fake monitor, and with a real QEMU that runs no guest.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Event, Events, Qmp, QmpError, Version};
use crate::qemu::json_lines::{LineReader, LineWriter, json_lines};

const SOON: Duration = Duration::from_secs(60);

/// QEMU's end, controlled by the test.
struct Fake {
    reader: LineReader,
    writer: LineWriter,
}

impl Fake {
    async fn ready() -> (Qmp, Events, Self) {
        let (here, there) = UnixStream::pair().unwrap();
        let (reader, writer) = json_lines(there, 1 << 20);
        let mut fake = Self { reader, writer };
        let greeted = async {
            fake.say(json!({"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 1}}, "capabilities": []}}))
                .await;
            let asked = fake.hear().await;
            assert_eq!(asked["execute"], "qmp_capabilities");
            fake.say(json!({"return": {}, "id": asked["id"]})).await;
        };
        let (connected, ()) = tokio::join!(Qmp::connect(here, SOON), greeted);
        let (qmp, events) = connected.unwrap();
        (qmp, events, fake)
    }

    async fn say(&mut self, value: Value) {
        self.writer.send(&value).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        timeout(SOON, self.reader.next()).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn answers_in_any_order_go_to_the_right_caller() {
    let (qmp, _events, mut fake) = Fake::ready().await;
    let answer = async {
        let (one, two) = (fake.hear().await, fake.hear().await);
        fake.say(json!({"return": two["execute"], "id": two["id"]})).await;
        fake.say(json!({"error": {"class": "GenericError", "desc": "no way"}, "id": one["id"]})).await;
    };
    let (one, two, ()) = tokio::join!(qmp.execute("one", Value::Null), qmp.execute("two", json!({"a": 1})), answer);
    assert_eq!(one.unwrap_err().to_string(), "QEMU refused `one`: no way");
    assert_eq!(two.unwrap(), "two");
}

#[tokio::test]
async fn unknown_events_and_stray_answers_do_not_end_the_connection() {
    let (qmp, mut events, mut fake) = Fake::ready().await;
    fake.say(json!({"event": "FROM_THE_FUTURE", "data": {"x": 1}, "timestamp": {"seconds": 1, "microseconds": 2}}))
        .await;
    fake.say(json!({"return": {}, "id": 4711})).await;
    fake.say(json!("nonsense")).await;
    fake.say(json!({"event": "STOP"})).await;
    let expected = Event { name: "FROM_THE_FUTURE".into(), data: json!({"x": 1}) };
    assert_eq!(timeout(SOON, events.next()).await.unwrap(), Some(expected));
    let stop = timeout(SOON, events.wait_for("STOP")).await.unwrap().unwrap();
    assert_eq!(stop.data, Value::Null);
    let answer = async {
        let asked = fake.hear().await;
        fake.say(json!({"return": {"running": false, "status": "paused"}, "id": asked["id"]})).await;
    };
    let (state, ()) = tokio::join!(qmp.query_status(), answer);
    assert_eq!(state.unwrap().status, "paused");
}

#[tokio::test(start_paused = true)]
async fn connecting_to_a_qemu_without_a_greeting_times_out() {
    let (here, _there) = UnixStream::pair().unwrap();
    let error = Qmp::connect(here, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.to_string(), "QEMU did not answer `qmp_capabilities` within 5s");
}

#[tokio::test(start_paused = true)]
async fn a_command_without_an_answer_times_out_and_the_next_one_works() {
    let (qmp, _events, mut fake) = Fake::ready().await;
    let error = qmp.execute("stop", Value::Null).await.unwrap_err();
    assert!(matches!(error, QmpError::Silent { .. }));
    let late = fake.hear().await;
    fake.say(json!({"return": {}, "id": late["id"]})).await;
    let answer = async {
        let asked = fake.hear().await;
        fake.say(json!({"return": {}, "id": asked["id"]})).await;
    };
    let (done, ()) = tokio::join!(qmp.cont(), answer);
    done.unwrap();
}

#[tokio::test]
async fn pending_commands_fail_and_the_events_end_when_qemu_ends() {
    let (qmp, mut events, mut fake) = Fake::ready().await;
    let gone = async {
        fake.hear().await;
        drop(fake);
    };
    let (status, ()) = tokio::join!(qmp.query_status(), gone);
    assert!(matches!(status, Err(QmpError::Closed)));
    assert_eq!(timeout(SOON, events.next()).await.unwrap(), None);
    assert_eq!(timeout(SOON, qmp.events().next()).await.unwrap(), None);
    assert!(matches!(qmp.query_status().await, Err(QmpError::Closed)));
    qmp.quit().await.unwrap();
}

#[tokio::test]
async fn other_text_than_qmp_is_refused() {
    let (here, there) = UnixStream::pair().unwrap();
    let (_reader, mut writer) = json_lines(there, 1000);
    writer.send(&json!({"hello": "world"})).await.unwrap();
    let error = Qmp::connect(here, SOON).await.unwrap_err();
    assert_eq!(error.to_string(), "QEMU's answer to `its greeting` is malformed");
}

/// A QEMU without a guest; `None` if QEMU is not installed.
fn qemu() -> Option<(UnixStream, Child)> {
    let (host, monitor) = std::os::unix::net::UnixStream::pair().unwrap();
    host.set_nonblocking(true).unwrap();
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-machine", "none", "-nodefaults", "-display", "none", "-S"]);
    qemu.args(["-chardev", "socket,id=monitor,fd=3", "-mon", "chardev=monitor,mode=control"]);
    qemu.fd_mappings(vec![FdMapping { parent_fd: OwnedFd::from(monitor), child_fd: 3 }]).unwrap();
    match qemu.stdin(Stdio::null()).spawn() {
        Ok(child) => Some((UnixStream::from_std(host).unwrap(), child)),
        Err(error) => {
            eprintln!("SKIPPED: no qemu-system-x86_64 here: {error}");
            None
        }
    }
}

#[tokio::test]
async fn a_real_qemu_answers_takes_a_descriptor_and_quits() {
    let Some((stream, mut child)) = qemu() else { return };
    let (qmp, mut events) = Qmp::connect(stream, SOON).await.unwrap();
    assert!(qmp.version() >= Version { major: 4, minor: 0, micro: 0 }, "{}", qmp.version());
    assert_eq!(qmp.query_version().await.unwrap(), qmp.version());
    assert_eq!(qmp.query_status().await.unwrap().status, "prelaunch");

    // QEMU really has the descriptor: a byte that is written to its chardev arrives here.
    let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    qmp.getfd("passed", there.into()).await.unwrap();
    let backend =
        json!({"type": "socket", "data": {"addr": {"type": "fd", "data": {"str": "passed"}}, "server": false}});
    qmp.execute("chardev-add", json!({"id": "passed", "backend": backend})).await.unwrap();
    here.write_all(b"x").unwrap();
    qmp.execute("chardev-remove", json!({"id": "passed"})).await.unwrap();
    assert_eq!(here.read(&mut [0; 8]).map_err(|error| error.kind()).unwrap_or(0), 0, "QEMU had the only other end");

    let refused = qmp.device_add(json!({"driver": "no-such-device"})).await.unwrap_err();
    assert!(matches!(refused, QmpError::Refused { .. }), "{refused}");

    qmp.quit().await.unwrap();
    let shutdown = timeout(SOON, events.wait_for("SHUTDOWN")).await.unwrap().unwrap();
    assert_eq!(shutdown.data["reason"], "host-qmp-quit");
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert!(status.success());
}
