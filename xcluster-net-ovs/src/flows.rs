//! OpenFlow rules from a file: checking them, and adding them to a bridge.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xcluster_core::net::NetError;

use crate::error::SwitchError;
use crate::programs::{self, OFCTL, Programs};
use crate::switch::Switch;

/// The problem of a file of rules. No switch is needed.
pub(crate) async fn problem(programs: &Programs, file: &Path) -> Option<String> {
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => return Some(format!("cannot read `{}`: {error}", file.display())),
    };
    let mut command = programs.command(OFCTL);
    command.arg("parse-flows").arg(absolute(file));
    match programs::run(OFCTL, command).await {
        Ok(_) => None,
        Err(SwitchError::Refused { said, .. }) => Some(with_line(file, &text, &said)),
        Err(trouble) => Some(trouble.to_string()),
    }
}

/// Adds rules to a bridge: all of them, or none.
pub(crate) async fn put(switch: &Switch, bridge: &str, file: &Path) -> Result<(), NetError> {
    match switch.openflow(bridge, "add-flows", &absolute(file)).await {
        Ok(_) => Ok(()),
        Err(SwitchError::Refused { said, .. }) => {
            let text = read(file).unwrap_or_default();
            let message = format!("the rules are refused: {}", with_line(file, &text, &said));
            Err(NetError::Other { message, source: None })
        }
        Err(trouble) => Err(trouble.into()),
    }
}

/// Reads a regular file. A FIFO would block, and a device may have no end.
fn read(file: &Path) -> io::Result<String> {
    match fs::metadata(file)?.is_file() {
        true => fs::read_to_string(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// A path that no name of a file turns into standard input.
fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

/// Adds the line itself to the program's `FILE:LINE: problem`.
fn with_line(file: &Path, text: &str, said: &str) -> String {
    let path = absolute(file).display().to_string();
    let parsed = said.strip_prefix(&format!("{path}:")).and_then(|rest| {
        let (number, what) = rest.split_once(": ")?;
        let number: usize = number.parse().ok()?;
        Some((number, what, text.lines().nth(number.checked_sub(1)?)?))
    });
    match parsed {
        Some((number, what, line)) => {
            format!("`{}`, line {number}: {what}: `{}`", file.display(), line.trim())
        }
        None => format!("`{}`: {said}", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_line_is_shown() {
        let check = |said: &str, expected: &str| {
            assert_eq!(with_line(Path::new("/x/rules"), "first\n\n drop it \n", said), expected);
        };
        check("/x/rules:3: must specify an action", "`/x/rules`, line 3: must specify an action: `drop it`");
        check("/x/rules:9: odd", "`/x/rules`: /x/rules:9: odd");
        check("no switch", "`/x/rules`: no switch");
    }
}
