//! Whether a file can be a hook, before anything of it is run.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use crate::exit::Exit;
use crate::report::Failure;

/// A hook that can be run.
#[derive(Debug)]
pub(super) struct Hook {
    /// Its absolute path.
    pub(super) path: PathBuf,
    /// The shell that understands it.
    pub(super) shell: &'static str,
}

/// The shell of a hook that asks for none.
const SH: &str = "sh";

/// How much of a first line tells the shell.
const FIRST_LINE: u64 = 256;

/// Write permission for everybody.
const EVERYBODY_WRITES: u32 = 0o002;

/// A hook that is there, belongs to us, and is a text that its shell can read.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(path: &Path) -> Result<Hook, Failure> {
    let refused = |error: io::Error| Failure::from_error(Exit::INVALID, &error);
    let path = fs::canonicalize(path).map_err(refused)?;
    let meta = fs::metadata(&path).map_err(refused)?;
    if !meta.is_file() {
        return Err(Failure::new(Exit::INVALID, "it is no file"));
    }
    // Whoever can write it has the caller run anything.
    if meta.uid() != geteuid().as_raw() && meta.uid() != 0 {
        return Err(Failure::new(Exit::INVALID, "it belongs to somebody else"));
    }
    if meta.permissions().mode() & EVERYBODY_WRITES != 0 {
        let failure = Failure::new(Exit::INVALID, "everybody may write to it");
        return Err(failure.hint(format!("`chmod o-w {}`", path.display())));
    }
    let shell = shell_of(&path).map_err(refused)?;
    parses(shell, &path)?;
    Ok(Hook { path, shell })
}

/// The shell that the first line asks for.
fn shell_of(path: &Path) -> io::Result<&'static str> {
    let mut line = Vec::new();
    BufReader::new(File::open(path)?.take(FIRST_LINE)).read_until(b'\n', &mut line)?;
    let line = String::from_utf8_lossy(&line);
    let asks = line.starts_with("#!") && line.split(['/', ' ', '\t', '\n']).any(|program| program == "bash");
    Ok(if asks { "bash" } else { SH })
}

fn parses(shell: &'static str, path: &Path) -> Result<(), Failure> {
    let read = Command::new(shell).arg("-n").arg(path).stdin(Stdio::null()).output();
    let output = read.map_err(|error| Failure::io(format!("run `{shell}`"), &error).with_exit(Exit::HOST))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let failure = Failure::new(Exit::INVALID, said.trim_end());
    Err(if shell == SH { failure.hint("if it is written for bash, `#!/bin/bash` is its first line") } else { failure })
}
