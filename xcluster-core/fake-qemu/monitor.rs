//! The part of QMP that xcluster uses.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

/// Sends QEMU's greeting.
pub(crate) fn greet(monitor: &mut UnixStream) -> io::Result<()> {
    let version = json!({ "qemu": { "major": 7, "minor": 2, "micro": 22 }, "package": "fake" });
    say(monitor, &json!({ "QMP": { "version": version, "capabilities": ["oob"] } }))
}

/// Answers until the other end is closed. Like QEMU, the process does not end then.
pub(crate) fn serve(monitor: &UnixStream) {
    // An error means that the socket is closed.
    let _ = converse(monitor);
}

fn converse(monitor: &UnixStream) -> io::Result<()> {
    let mut answers = monitor.try_clone()?;
    greet(&mut answers)?;
    for line in BufReader::new(monitor).lines() {
        let command: Value = serde_json::from_str(&line?)?;
        let id = command["id"].clone();
        let answer = match command["execute"].as_str() {
            Some("query-status") => json!({ "running": true, "status": "running" }),
            Some("human-monitor-command") => json!(""),
            _ => json!({}),
        };
        say(&mut answers, &json!({ "return": answer, "id": id }))?;
        match command["execute"].as_str() {
            Some("quit") => shut_down(&mut answers, "host-qmp-quit"),
            Some("system_powerdown") => shut_down(&mut answers, "guest-shutdown"),
            _ => {}
        }
    }
    Ok(())
}

fn shut_down(monitor: &mut UnixStream, reason: &str) {
    let data = json!({ "guest": reason.starts_with("guest"), "reason": reason });
    let time = json!({ "seconds": 0, "microseconds": 0 });
    let _ = say(monitor, &json!({ "event": "SHUTDOWN", "data": data, "timestamp": time }));
    std::process::exit(0);
}

fn say(monitor: &mut UnixStream, what: &Value) -> io::Result<()> {
    monitor.write_all(format!("{what}\r\n").as_bytes())
}
