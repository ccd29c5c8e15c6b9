//! A command to run in a guest.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a command may run by default: long enough for a step of a test, short enough for a test suite that hangs.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// How much output [`Execution::output`](super::Execution::output) collects by default, in bytes: 1 GiB.
pub const DEFAULT_MAX_OUTPUT: u64 = 1 << 30;

/// A command to run in a guest, built like [`std::process::Command`].
///
/// A string is a line for the guest's shell: `"ip -br link | wc -l"` becomes `sh -c` with that text.
///
/// ```
/// use std::time::Duration;
/// use xcluster_core::guest::exec::Command;
///
/// let ping = Command::new("ping").args(["-c", "3", "192.168.1.2"]).timeout(Duration::from_secs(10));
/// assert_eq!(ping.to_string(), "ping -c 3 192.168.1.2");
/// assert_eq!(Command::from("ip -br link | wc -l").to_string(), "ip -br link | wc -l");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub(crate) argv: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) cwd: Option<OsString>,
    pub(crate) stdin: Stdin,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_output: u64,
}

/// Where standard input comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stdin {
    /// `/dev/null`.
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// The bytes that are written while the command runs.
    Streamed,
}

impl Command {
    /// A program without arguments. It is looked up in the guest's `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            argv: vec![program.as_ref().to_owned()],
            env: Vec::new(),
            cwd: None,
            stdin: Stdin::Null,
            timeout: Some(DEFAULT_TIMEOUT),
            max_output: DEFAULT_MAX_OUTPUT,
        }
    }

    /// A line for the guest's `sh`.
    pub fn shell(line: impl AsRef<OsStr>) -> Self {
        Self::new("sh").arg("-c").arg(line)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.argv.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.argv.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable. The others are those of the guest's agent.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory in the guest; `/` otherwise.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<OsStr>) -> Self {
        self.cwd = Some(directory.as_ref().to_owned());
        self
    }

    /// Sets the standard input; it is empty otherwise.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// Keeps standard input open for [`Execution::take_stdin`](super::Execution::take_stdin).
    #[must_use]
    pub fn stream_stdin(mut self) -> Self {
        self.stdin = Stdin::Streamed;
        self
    }

    /// Kills the command and all processes of its session after this time; [`DEFAULT_TIMEOUT`] otherwise.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Kills it after this time, if it has no shorter timeout.
    pub(crate) fn at_most(mut self, timeout: Duration) -> Self {
        self.timeout = Some(self.timeout.map_or(timeout, |own| own.min(timeout)));
        self
    }

    /// Lets the command run without a timeout.
    #[must_use]
    pub fn no_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// Limits the bytes of standard output and standard error together that are collected; [`DEFAULT_MAX_OUTPUT`] otherwise.
    /// A command that writes more is killed. Streamed output is not limited.
    #[must_use]
    pub fn max_output(mut self, bytes: u64) -> Self {
        self.max_output = bytes;
        self
    }
}

impl From<&str> for Command {
    fn from(line: &str) -> Self {
        Self::shell(line)
    }
}

impl From<String> for Command {
    fn from(line: String) -> Self {
        Self::shell(line)
    }
}

impl From<&String> for Command {
    fn from(line: &String) -> Self {
        Self::shell(line)
    }
}

/// The command as one would type it. For messages; the quoting is not exact enough for a shell.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [sh, c, line] = self.argv.as_slice()
            && sh == "sh"
            && c == "-c"
        {
            return write!(f, "{}", line.display());
        }
        for (index, arg) in self.argv.iter().enumerate() {
            let (space, arg) = (if index > 0 { " " } else { "" }, arg.to_string_lossy());
            let plain = !arg.is_empty() && !arg.contains(|c: char| c.is_whitespace() || "'\"$`\\|&;<>()*?".contains(c));
            if plain {
                write!(f, "{space}{arg}")?;
            } else {
                write!(f, "{space}'{arg}'")?;
            }
        }
        Ok(())
    }
}
