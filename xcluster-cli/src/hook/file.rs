//! Checks whether a file can be a hook, before it is run.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use crate::exit::Exit;
use crate::report::Failure;

/// A hook that passed all checks.
#[derive(Debug)]
pub(super) struct Hook {
    /// Its absolute path.
    pub(super) path: PathBuf,
    /// Its shell.
    pub(super) shell: &'static str,
}

/// The default shell.
const SH: &str = "sh";

/// How many bytes of the first line are read.
const FIRST_LINE: u64 = 256;

/// Write permission for everybody.
const EVERYBODY_WRITES: u32 = 0o002;

/// Checks that the hook is a file, that it belongs to the user or root, and that its shell can parse it.
///
/// # Errors
/// A check failed.
pub(super) fn check(path: &Path) -> Result<Hook, Failure> {
    let refused = |error: io::Error| Failure::from_error(Exit::INVALID, &error);
    let path = fs::canonicalize(path).map_err(refused)?;
    let meta = fs::metadata(&path).map_err(refused)?;
    if !meta.is_file() {
        return Err(Failure::new(Exit::INVALID, "not a file"));
    }
    // Everybody who can write to it could run any code as the caller.
    if meta.uid() != geteuid().as_raw() && meta.uid() != 0 {
        return Err(Failure::new(Exit::INVALID, "it belongs to another user"));
    }
    if meta.permissions().mode() & EVERYBODY_WRITES != 0 {
        let failure = Failure::new(Exit::INVALID, "it is writable by everybody");
        return Err(failure.hint(format!("`chmod o-w {}`", path.display())));
    }
    let shell = shell_of(&path).map_err(refused)?;
    parses(shell, &path)?;
    Ok(Hook { path, shell })
}

/// The shell of the first line, else the default.
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
    let message = String::from_utf8_lossy(&output.stderr);
    let failure = Failure::new(Exit::INVALID, message.trim_end());
    Err(if shell == SH {
        failure.hint("if it is written for bash, its first line must be `#!/bin/bash`")
    } else {
        failure
    })
}
