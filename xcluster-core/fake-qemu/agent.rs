//! The guest's agent. For our own agent the real program runs on this host; for qemu-ga a few commands are answered.

use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;

use command_fds::{CommandFdExt, FdMapping};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::{Value, json};
use xcluster_core::testing::fake_qemu::agent_program;

/// Serves the port with this name until the other end is closed.
pub(crate) fn serve(host: UnixStream, port: &str, name: &str) {
    let served = match port {
        "org.qemu.guest_agent.0" => qemu_ga(&host, name),
        _ => own(host),
    };
    if let Err(error) = served {
        crate::complain(&format!("fake-qemu: the agent has ended: {error}"));
    }
}

/// Relays between the host and the agent, so that the agent ends with this process, as a guest ends with its QEMU.
fn own(host: UnixStream) -> io::Result<()> {
    let program = memfd_create("xcluster-agent", MFdFlags::MFD_CLOEXEC)?;
    let mut program = std::fs::File::from(program);
    program.write_all(agent_program())?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.args(["--fd", "3"]).stdin(Stdio::null()).stdout(Stdio::null());
    let mapping = FdMapping { parent_fd: theirs.into(), child_fd: 3 };
    command.fd_mappings(vec![mapping]).map_err(io::Error::other)?;
    let mut child = command.spawn()?;
    drop(command);
    let (mut from_host, mut to_agent) = (host.try_clone()?, ours.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_host, &mut to_agent);
        to_agent.shutdown(Shutdown::Both)
    });
    io::copy(&mut &ours, &mut &host)?;
    child.wait().map(drop)
}

fn qemu_ga(host: &UnixStream, name: &str) -> io::Result<()> {
    let mut answers = host;
    for line in BufReader::new(host).split(b'\n') {
        let line = line?;
        // A host that starts again first sends a byte that does not occur in UTF-8.
        let text = line.rsplit(|byte| *byte == 0xff).next().unwrap_or_default();
        let Ok(question) = serde_json::from_slice::<Value>(text) else { continue };
        let answer = match question["execute"].as_str() {
            Some("guest-sync-delimited") => {
                answers.write_all(&[0xff])?;
                json!({ "return": question["arguments"]["id"] })
            }
            Some("guest-sync") => json!({ "return": question["arguments"]["id"] }),
            Some("guest-get-host-name") => json!({ "return": { "host-name": name } }),
            Some("guest-ping") => json!({ "return": {} }),
            _ => json!({ "error": { "class": "CommandNotFound", "desc": "this guest agent is a fake" } }),
        };
        answers.write_all(format!("{answer}\n").as_bytes())?;
    }
    Ok(())
}
