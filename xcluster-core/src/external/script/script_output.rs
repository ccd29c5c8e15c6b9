//! Parses the output of a script: args as a shell splits them, or JSON. QEMU checks the args themselves.

use serde::Deserialize;

use super::error::Fault;
use super::qemu_args;
use crate::net::HostAccess;

/// A script's answer, and its form in JSON.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScriptOutput {
    /// Args for QEMU.
    #[serde(rename = "words")]
    pub(super) args: Vec<String>,
    /// Whether the script is also called at the end.
    #[serde(default)]
    pub(super) teardown: bool,
    /// The way from the host to the node, if it differs from that of the args.
    #[serde(default)]
    pub(super) access: Option<HostAccess>,
}

/// Parses what was printed.
pub(super) fn read(printed: &[u8]) -> Result<ScriptOutput, Fault> {
    let text = std::str::from_utf8(printed).map_err(|_| Fault::NotText)?;
    let mut answer = match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text).map_err(Fault::Json)?,
        false => ScriptOutput { args: qemu_args::split(text), ..ScriptOutput::default() },
    };
    for arg in &mut answer.args {
        *arg = qemu_args::without_hooks(arg);
    }
    if answer.args.iter().any(|arg| arg.contains('\0')) {
        return Err(Fault::Zero);
    }
    match answer.args.first() {
        Some(arg) if !arg.starts_with('-') => Err(Fault::NoOption(start(text))),
        _ => Ok(answer),
    }
}

/// The start of an unexpected text, for people.
fn start(text: &str) -> String {
    const SHOWN: usize = 60;
    let line: String = text.trim().lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    let shown: String = line.chars().take(SHOWN).collect();
    if shown.len() < line.len() { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(printed: &[u8], error: &str) {
        let said = read(printed).unwrap_err().to_string();
        assert!(said.contains(error), "{said}");
    }

    #[test]
    fn args_are_args_and_none_are_none() {
        let answer = read(b"-device\n e1000,netdev=n  -netdev tap,id=n,downscript=/tmp/rmtap\n").unwrap();
        assert_eq!(answer.args, ["-device", "e1000,netdev=n", "-netdev", "tap,id=n,downscript=no"]);
        assert_eq!(read(b"").unwrap(), ScriptOutput::default());
    }

    #[test]
    fn json_says_more() {
        let answer =
            read(br#"{"words": ["-name", "a b"], "teardown": true, "access": {"direct": "10.0.0.3"}}"#).unwrap();
        let access = Some(HostAccess::Direct("10.0.0.3".parse().unwrap()));
        assert_eq!(answer, ScriptOutput { args: vec!["-name".to_owned(), "a b".to_owned()], teardown: true, access });
    }

    #[test]
    fn what_no_qemu_could_take_is_reported() {
        check(b"-a \xff", "not UTF-8");
        check(b"-a b\0", "a zero byte");
        check(b"Error: no bridge\n", "`Error: no bridge`, but the first arg");
        check(br#"{"words": [], "tear_down": true}"#, "unknown field `tear_down`");
        check(br#"{"words": ["x"]}"#, "but the first arg");
    }
}
