//! A program that behaves like QEMU, or misbehaves as a test wants (`xcluster_core::testing::FakeQemu`). It runs no VM.

mod agent;
mod monitor;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use xcluster_core::testing::Behaviour;
use xcluster_core::testing::fake_qemu::{behaviour, record, starts};

/// QEMU's exit code for wrong arguments.
const REFUSED: u8 = 1;

fn main() -> ExitCode {
    let mut args = std::env::args();
    let program = PathBuf::from(args.next().unwrap_or_default());
    let args: Vec<String> = args.collect();
    if args.iter().any(|arg| arg == "--version" || arg == "-version") {
        let _ = writeln!(io::stdout(), "QEMU emulator version 7.2.22 (fake)");
        return ExitCode::SUCCESS;
    }
    let folder = program.parent().unwrap_or(Path::new("."));
    match run(folder, args) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("fake-qemu: {error}"));
            ExitCode::from(REFUSED)
        }
    }
}

fn run(folder: &Path, args: Vec<String>) -> io::Result<ExitCode> {
    let machine = Machine::read(&args)?;
    record(folder, &machine.name, &args)?;
    match behaviour(folder, &machine.name) {
        Behaviour::Boot => machine.boot(),
        Behaviour::Die { stderr, code, after: None } => {
            complain(&stderr);
            return Ok(ExitCode::from(code));
        }
        Behaviour::Die { stderr, code, after: Some(millis) } => {
            machine.boot();
            thread::sleep(Duration::from_millis(millis));
            complain(&stderr);
            return Ok(ExitCode::from(code));
        }
        Behaviour::Killed { signal, times } if starts(folder, &machine.name) <= times => {
            machine.greet()?;
            kill_myself(signal)?;
        }
        Behaviour::Killed { .. } => machine.boot(),
        Behaviour::Mute => {}
        Behaviour::Hang => machine.greet()?,
        Behaviour::Babble => machine.babble()?,
    }
    loop {
        thread::park();
    }
}

/// Rust's signal handler catches the first SIGSEGV, in case it is a stack overflow, and then removes itself. So the signal is sent twice.
fn kill_myself(signal: i32) -> io::Result<()> {
    let signal = Signal::try_from(signal)?;
    for _ in 0..2 {
        raise(signal)?;
    }
    Ok(())
}

fn complain(text: &str) {
    // An error is ignored: standard error may be closed.
    let _ = writeln!(io::stderr(), "{text}");
}

/// The relevant part of the args.
struct Machine {
    name: String,
    /// The character devices, by name.
    chardevs: BTreeMap<String, UnixStream>,
    /// The name of the agent's virtio port.
    agent_port: Option<String>,
}

impl Machine {
    fn read(args: &[String]) -> io::Result<Self> {
        let values = |option: &'static str| {
            args.iter().zip(args.iter().skip(1)).filter(move |(arg, _)| *arg == option).map(|(_, value)| value)
        };
        let name = values("-name").next().and_then(|value| value.split(',').next()).unwrap_or("unnamed").to_owned();
        let mut chardevs = BTreeMap::new();
        for value in values("-chardev") {
            if let (Some(id), Some(fd)) = (property(value, "id"), property(value, "fd")) {
                let number = fd.parse().map_err(|_| io::Error::other(format!("no descriptor: `{value}`")))?;
                chardevs.insert(id.to_owned(), inherited(number));
            }
        }
        let port = values("-device").find(|value| value.starts_with("virtserialport"));
        let agent_port = port.and_then(|value| property(value, "name")).map(str::to_owned);
        Ok(Self { name, chardevs, agent_port })
    }

    /// Starts the monitor, the console and the agent.
    fn boot(&self) {
        let Self { name, chardevs, agent_port } = self;
        if let Some(monitor) = clone(chardevs, "monitor") {
            thread::spawn(move || monitor::serve(&monitor));
        }
        if let Some(console) = clone(chardevs, "console") {
            thread::spawn(move || serve_console(console));
        }
        if let (Some(agent), Some(port)) = (clone(chardevs, "agent"), agent_port.clone()) {
            let name = name.clone();
            thread::spawn(move || agent::serve(agent, &port, &name));
        }
    }

    fn greet(&self) -> io::Result<()> {
        clone(&self.chardevs, "monitor").map_or(Ok(()), |mut monitor| monitor::greet(&mut monitor))
    }

    fn babble(&self) -> io::Result<()> {
        clone(&self.chardevs, "monitor").map_or(Ok(()), |mut monitor| monitor.write_all(b"\xff{]}gibberish\n"))
    }
}

/// Returns a property of a value such as `socket,id=monitor,fd=3`.
fn property<'a>(value: &'a str, key: &str) -> Option<&'a str> {
    value.split(',').find_map(|property| property.strip_prefix(key)?.strip_prefix('='))
}

fn inherited(number: RawFd) -> UnixStream {
    // SAFETY: the args name each inherited descriptor once.
    unsafe { OwnedFd::from_raw_fd(number) }.into()
}

fn clone(chardevs: &BTreeMap<String, UnixStream>, name: &str) -> Option<UnixStream> {
    chardevs.get(name)?.try_clone().ok()
}

/// A guest that prints that it has booted, and echoes its input.
fn serve_console(mut console: UnixStream) {
    let mut buffer = [0; 1024];
    let mut said = console.write_all(format!("{}\r\n", Behaviour::UP).as_bytes());
    while let (Ok(()), Ok(count @ 1..)) = (&said, console.read(&mut buffer)) {
        said = console.write_all(&buffer[..count]);
    }
}
