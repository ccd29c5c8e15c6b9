//! A program that behaves like QEMU, or as badly as a test wants: for tests of what a cluster does about it. The program
//! is a binary of this package, `fake-qemu`; here it is told what to do, and what it was told is read.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::name::NodeId;

/// The file that says how a node's QEMU behaves; before the point is the node's name.
const BEHAVIOUR: &str = "behaviour";
/// The file with the args that a node's QEMU was started with, one on a line.
const ARGS: &str = "args";
/// The file with a byte for each start of a node's QEMU.
const STARTS: &str = "starts";

/// How a QEMU behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behaviour {
    /// As it should: the monitor answers, the console says [`Behaviour::UP`], the agent is there. Ours runs its commands
    /// on this host; of qemu-ga there is no more than that it is there.
    #[default]
    Boot,
    /// It says something on standard error and ends.
    Die {
        /// What it says.
        stderr: String,
        /// With which code.
        code: u8,
        /// Milliseconds for which it behaves as it should; none if it does not even greet.
        after: Option<u64>,
    },
    /// It greets, and a signal ends it, as one of the kernel or somebody's `kill` would.
    Killed {
        /// The signal's number.
        signal: i32,
        /// How many of its starts end so. Later ones go as they should.
        times: usize,
    },
    /// Its monitor does not greet.
    Mute,
    /// It greets, and that was all.
    Hang,
    /// It talks nonsense on its monitor.
    Babble,
}

impl Behaviour {
    /// What a guest that is up says on its console.
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
    /// There is no folder to be had for it.
    pub fn new(program: impl AsRef<Path>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("xcluster-fake-qemu-").tempdir()?;
        symlink(program, folder.path().join("qemu"))?;
        Ok(Self { folder })
    }

    /// What is to be run in place of QEMU. The program finds its folder by the name that it is run by.
    pub fn program(&self) -> PathBuf {
        self.folder.path().join("qemu")
    }

    /// From its next start on, this node's QEMU behaves so.
    ///
    /// # Errors
    /// It cannot be written down.
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

/// For the program itself: how the QEMU of this name shall behave.
#[doc(hidden)]
pub fn behaviour(folder: &Path, name: &str) -> Behaviour {
    let text = std::fs::read(file(folder, name, BEHAVIOUR)).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// For the program itself: remembers the args that it was started with, and that it was started.
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
