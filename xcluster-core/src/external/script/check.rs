//! Checks whether a file can be a net-setup script, before any is run. Reports all problems at once.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::net::NetError;
use crate::qemu::process::find_program;

/// The start of an ELF program.
const ELF: &[u8] = b"\x7fELF";
/// The bytes of a first line that the kernel reads (`BINPRM_BUF_SIZE` of linux/binfmts.h).
const FIRST_LINE: u64 = 256;

/// Finds a script.
///
/// # Errors
/// [`NetError::Unsupported`] with all of its problems.
pub(super) fn find(script: &Path) -> Result<PathBuf, NetError> {
    let path = if script.components().count() > 1 { Some(script.to_owned()) } else { find_program(script) };
    let Some(path) = path else {
        return Err(NetError::unsupported(format!("there is no program `{}` in `PATH`", script.display())));
    };
    let mut problems = Vec::new();
    let mut remedy = None;
    match fs::metadata(&path) {
        Err(error) => problems.push(format!("cannot be found: {error}")),
        Ok(meta) if meta.is_dir() => problems.push("is a folder".to_owned()),
        Ok(meta) if !meta.is_file() => problems.push("is no file".to_owned()),
        Ok(_) => {
            if access(&path, AccessFlags::X_OK).is_err() {
                problems.push("is not executable".to_owned());
                remedy = Some(format!("chmod +x {}", path.display()));
            }
            problems.extend(first_line(&path));
        }
    }
    if problems.is_empty() {
        return Ok(path);
    }
    Err(NetError::Unsupported { what: format!("`{}` {}", path.display(), problems.join(", and ")), remedy })
}

/// Checks the start of a file, which tells the kernel how to execute it. A file that may not be read may still be a program.
fn first_line(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(FIRST_LINE).read_to_end(&mut start).ok()?;
    if start.starts_with(ELF) {
        return None;
    }
    let Some(line) = start.strip_prefix(b"#!") else {
        return Some("does not begin with `#!`, so the kernel does not know which program reads it".to_owned());
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let interpreter = line.trim_matches([' ', '\t']).split([' ', '\t']).next().unwrap_or_default();
    if interpreter.ends_with('\r') {
        return Some("has lines that end as on Windows".to_owned());
    }
    let missing = !Path::new(interpreter).is_file();
    missing.then(|| format!("is for `{interpreter}`, which is not there"))
}
