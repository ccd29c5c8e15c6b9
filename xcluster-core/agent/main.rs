//! The agent inside a guest: runs commands and copies files for the host, over a virtio port.
//!
//! `xcluster-agent` opens the port `xcluster.agent`; `xcluster-agent --fd N` serves on an inherited socket instead and
//! ends with it. It has one thread with a poll loop, and uses only std. The library's build script compiles it and links it
//! statically, so that it runs in every guest.

mod command;
mod file;
mod hello;
mod outbox;
mod port;
mod process;
mod protocol;
mod retired;
mod server;
mod sys;
mod watch;

use std::process::ExitCode;
use std::{env, fs, io};

use port::Port;
use server::Server;

const USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let port = match (arguments.next().as_deref(), arguments.next().map(|fd| fd.parse())) {
        (None, _) => guest_port(),
        (Some("--fd"), Some(Ok(fd))) => Port::inherited(fd),
        _ => {
            eprintln!("usage: xcluster-agent [--fd N]");
            return ExitCode::from(USAGE);
        }
    };
    sys::reset_signals();
    match port.and_then(|port| Server::new(port).run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xcluster-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Opens the guest's port. The agent is also protected from the out-of-memory killer.
fn guest_port() -> io::Result<Port> {
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    Port::open()
}
