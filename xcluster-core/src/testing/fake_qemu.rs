//! A program that behaves like QEMU, or badly on demand, for tests of how a cluster reacts. The program is a binary of this
//! package, `fake-qemu`; tests control it through files in its folder.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::name::NodeId;

/// The suffix of the file with the behaviour of a node's QEMU. Before it is the node's name.
const BEHAVIOUR: &str = "behaviour";
/// The suffix of the file with the args that a node's QEMU was started with, one on a line.
const ARGS: &str = "args";
/// The suffix of the file with a byte for each start of a node's QEMU.
const STARTS: &str = "starts";

/// How a QEMU behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behaviour {
    /// Well: the monitor answers, the console shows [`Behaviour::UP`], the agent answers. Our own agent runs its commands on
    /// this host; qemu-ga only answers that it is there.
    #[default]
    Boot,
    /// It writes to standard error and exits.
    Die {
        /// The text.
        stderr: String,
        /// The exit code.
        code: u8,
        /// For how many milliseconds it behaves well before; none if its monitor does not even greet.
        after: Option<u64>,
    },
    /// It greets, and a signal ends it, as the kernel or `kill` would.
    Killed {
        /// The signal's number.
        signal: i32,
        /// How many of its starts end so. Later ones go well.
        times: usize,
    },
    /// Its monitor does not greet.
    Mute,
    /// It greets, and then does nothing.
    Hang,
    /// Its monitor sends nonsense.
    Babble,
}

impl Behaviour {
    /// What a guest that is up shows on its console.
    pub const UP: &str = "the fake guest is up";
}

/// A folder with a program that behaves like QEMU.
#[derive(Debug)]
pub struct FakeQemu {
    folder: TempDir,
}

impl FakeQemu {
    /// `program` is the binary: `env!("CARGO_BIN_EXE_fake-qemu")` in a test of this package.
    ///
    /// # Errors
    /// Its folder cannot be made.
    pub fn new(program: impl AsRef<Path>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("xcluster-fake-qemu-").tempdir()?;
        symlink(program, folder.path().join("qemu"))?;
        Ok(Self { folder })
    }

    /// The program to run in place of QEMU. It finds its folder by its own path.
    pub fn program(&self) -> PathBuf {
        self.folder.path().join("qemu")
    }

    /// Sets the behaviour of a node's QEMU from its next start on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn behave(&self, node: NodeId, behaviour: &Behaviour) -> io::Result<()> {
        std::fs::write(file(self.folder.path(), &node.to_string(), BEHAVIOUR), serde_json::to_vec(behaviour)?)
    }

    /// The args that this node's QEMU was last started with; none if it was not.
    pub fn args(&self, node: NodeId) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(file(self.folder.path(), &node.to_string(), ARGS)).ok()?;
        Some(text.lines().map(str::to_owned).collect())
    }

    /// How often this node's QEMU was started.
    pub fn starts(&self, node: NodeId) -> usize {
        starts(self.folder.path(), &node.to_string())
    }
}

/// For the program itself: the behaviour of the QEMU of this name.
#[doc(hidden)]
pub fn behaviour(folder: &Path, name: &str) -> Behaviour {
    let text = std::fs::read(file(folder, name, BEHAVIOUR)).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// For the program itself: records a start and its args.
#[doc(hidden)]
pub fn record(folder: &Path, name: &str, args: &[String]) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(file(folder, name, STARTS))?.write_all(b".")?;
    std::fs::write(file(folder, name, ARGS), args.join("\n"))
}

/// For the program itself: how often the QEMU of this name was started, this time included.
#[doc(hidden)]
pub fn starts(folder: &Path, name: &str) -> usize {
    std::fs::read(file(folder, name, STARTS)).map_or(0, |bytes| bytes.len())
}

/// For the program itself: the guest's agent.
#[doc(hidden)]
pub fn agent_program() -> &'static [u8] {
    crate::guest::agent::BINARY
}

fn file(folder: &Path, name: &str, what: &str) -> PathBuf {
    folder.join(format!("{name}.{what}"))
}
