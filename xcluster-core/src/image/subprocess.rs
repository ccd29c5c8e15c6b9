//! Runs a short program of the host (apt-get, dpkg-deb, a user's `tar`) to its end, with a deadline. Programs that run as long
//! as a cluster are in `host/process_tree`.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::error_chain;

/// How much of the end of a program's standard error an error shows, in bytes.
const TAIL: usize = 2000;

/// How long to read the output of a killed program: a process that left its group may hold the pipe open for ever.
const STDERR_DRAIN: Duration = Duration::from_millis(500);

/// Why a program of the host failed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SubprocessError {
    /// The program cannot be started.
    #[error("cannot run `{program}`")]
    Start {
        /// The program.
        program: String,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// The program ran past its deadline. It and its process group were killed.
    #[error("`{program}` timed out after {} s{}", .deadline.as_secs_f32(), after(.stderr))]
    Deadline {
        /// The program.
        program: String,
        /// How long it was allowed to run.
        deadline: Duration,
        /// The end of its standard error.
        stderr: String,
    },
    /// The program failed.
    #[error("`{program}` failed ({status}){}", after(.stderr))]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its standard error.
        stderr: String,
    },
}

error_chain::readable_debug!(SubprocessError);

fn after(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

/// What the watching threads report about a program.
enum Event {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    Ended,
}

/// Runs `command` and returns its standard output. It must succeed before `deadline` has passed.
///
/// The program is the leader of a new process group, so that its children are killed with it.
pub(super) fn stdout_of(command: &mut Command, deadline: Duration) -> Result<Vec<u8>, SubprocessError> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|source| SubprocessError::Start { program: program.clone(), source })?;
    let mut watch = Watch::of(&mut child);
    let in_time = watch.wait(deadline);
    if !in_time {
        // The pid still belongs to the child, which is reaped below.
        let _ = killpg(pid_of(&child), Signal::SIGKILL);
        watch.wait(STDERR_DRAIN);
    }
    let status = child.wait().map_err(|source| SubprocessError::Start { program: program.clone(), source })?;
    let stderr = tail(&watch.stderr);
    match (in_time, status.success()) {
        (false, _) => Err(SubprocessError::Deadline { program, deadline, stderr }),
        (true, false) => Err(SubprocessError::Failed { program, status, stderr }),
        (true, true) => Ok(watch.stdout),
    }
}

/// The output of a running program so far.
struct Watch {
    events: mpsc::Receiver<Event>,
    /// How many events are still to come.
    pending: usize,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Watch {
    fn of(child: &mut Child) -> Self {
        let (sender, events) = mpsc::channel();
        let mut watch = Self { events, pending: 1, stdout: Vec::new(), stderr: Vec::new() };
        if let Some(pipe) = child.stdout.take() {
            watch.pending += 1;
            collect(pipe, sender.clone(), Event::Stdout);
        }
        if let Some(pipe) = child.stderr.take() {
            watch.pending += 1;
            collect(pipe, sender.clone(), Event::Stderr);
        }
        let pid = pid_of(child);
        thread::spawn(move || {
            let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            let _ = sender.send(Event::Ended);
        });
        watch
    }

    /// Waits until the program has ended and its output is complete. Returns false if the deadline came first.
    fn wait(&mut self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        while self.pending > 0 {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Event::Stdout(bytes)) => self.stdout = bytes,
                Ok(Event::Stderr(bytes)) => self.stderr = bytes,
                Ok(Event::Ended) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
            }
            self.pending -= 1;
        }
        true
    }
}

fn collect(mut pipe: impl Read + Send + 'static, events: mpsc::Sender<Event>, event: fn(Vec<u8>) -> Event) {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // The bytes that were read before an error are still useful.
        let _ = pipe.read_to_end(&mut bytes);
        let _ = events.send(event(bytes));
    });
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Returns the end of a program's standard error, joined to one line.
fn tail(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let all = lines.join("; ");
    let from = all.len().saturating_sub(TAIL);
    let from = (from..=all.len()).find(|at| all.is_char_boundary(*at)).unwrap_or(all.len());
    all[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, deadline: Duration) -> Result<Vec<u8>, SubprocessError> {
        stdout_of(Command::new("sh").args(["-c", script]), deadline)
    }

    #[test]
    fn output_larger_than_a_pipe_is_complete() {
        let stdout = sh("head -c 1000000 /dev/zero", Duration::from_secs(20)).unwrap();
        assert_eq!(stdout.len(), 1_000_000);
    }

    #[test]
    fn a_failure_shows_the_end_of_standard_error() {
        let error = sh("echo one >&2; echo two >&2; exit 3", Duration::from_secs(20)).unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed (exit status: 3): one; two");
    }

    #[test]
    fn a_program_is_killed_with_its_children_at_the_deadline() {
        let begin = Instant::now();
        let error = sh("echo before >&2; sleep 100 & wait", Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.to_string(), "`sh` timed out after 0.2 s: before");
        assert!(begin.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_program_that_closes_its_output_and_stays_is_killed_too() {
        let error = sh("exec >&- 2>&-; sleep 100", Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error, SubprocessError::Deadline { .. }), "{error}");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let error = stdout_of(&mut Command::new("/nonexistent"), Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.to_string(), "cannot run `/nonexistent`");
    }
}
