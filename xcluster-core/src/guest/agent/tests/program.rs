//! Tests of commands with the real agent, which runs on this host, on a socket instead of a virtio port.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command as Process};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use futures::future::try_join_all;
use tokio::net::UnixStream;

use super::soon;
use crate::guest::agent::Agent;
use crate::guest::exec::{Command, Event, ExecError, Output, Status};

/// The program that the build script has made.
pub(super) const PATH: &str = concat!(env!("OUT_DIR"), "/xcluster-agent");

/// The agent as a process on this host.
pub(super) struct Program {
    pub(super) agent: Agent,
    process: Child,
}

impl Program {
    pub(super) async fn start() -> Self {
        Self::start_by(Process::new(PATH)).await
    }

    /// The same, started by another program.
    pub(super) async fn start_by(program: Process) -> Self {
        let (host, process) = spawn(program);
        let agent = Agent::new(host);
        soon(agent.ready()).await.unwrap();
        Self { agent, process }
    }

    async fn run(&self, command: impl Into<Command>) -> Output {
        soon(self.agent.exec(&command.into()).unwrap().output()).await.unwrap()
    }

    /// The maximum memory that it has used, in KiB.
    fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts the agent with a program that executes it.
pub(super) fn spawn(mut program: Process) -> (UnixStream, Child) {
    program.args(["--fd", "3"]);
    let (host, guest) = std::os::unix::net::UnixStream::pair().unwrap();
    host.set_nonblocking(true).unwrap();
    program.fd_mappings(vec![FdMapping { parent_fd: OwnedFd::from(guest), child_fd: 3 }]).unwrap();
    (UnixStream::from_std(host).unwrap(), program.spawn().unwrap())
}

/// A FIFO with which one command can wait for another.
pub(super) fn fifo() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    (dir, path.to_str().unwrap().to_owned())
}

/// Whether a process with this pid runs and is not a zombie.
fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}

#[tokio::test]
async fn the_agent_reports_its_host_name() {
    let program = Program::start().await;
    let ready = soon(program.agent.ready()).await.unwrap();
    assert_eq!(ready.hostname, fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim());
    assert!(ready.uptime > Some(Duration::ZERO));
}

#[tokio::test]
async fn both_outputs_and_the_exit_code_are_returned() {
    let program = Program::start().await;
    let output = program.run("echo out; echo err >&2; exit 3").await;
    assert_eq!((output.text().as_ref(), output.stderr.as_slice()), ("out", b"err\n".as_slice()));
    assert_eq!(output.status, Status::Code(3));
    assert_eq!(output.ok().unwrap_err().to_string(), "`echo out; echo err >&2; exit 3` exited with code 3: err");
    assert_eq!(program.run("kill -TERM $$").await.status, Status::Signal(15));
}

#[tokio::test]
async fn environment_directory_and_args_are_passed_unchanged() {
    let program = Program::start().await;
    let command =
        Command::new("sh").args(["-c", "printf '%s|' \"$A\" \"$PWD\" \"$@\"", "sh", "two words", "", "ünï\n"]);
    let output = program.run(command.env("A", "a=b").current_dir("/tmp")).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a=b|/tmp|two words||ünï\n|");
}

#[tokio::test]
async fn a_command_that_cannot_run_is_an_error_with_the_guests_reason() {
    let program = Program::start().await;
    let fail = async |command: Command| match soon(program.agent.exec(&command).unwrap().output()).await {
        Err(ExecError::Refused { what, source }) => (what, source.kind()),
        other => panic!("not refused: {other:?}"),
    };
    let refused = fail(Command::new("/no/such-program")).await;
    assert_eq!(refused, ("cannot run `/no/such-program`".into(), io::ErrorKind::NotFound));
    let refused = fail(Command::new("true").current_dir("/no/such")).await;
    assert_eq!(refused, ("cannot enter `/no/such`".into(), io::ErrorKind::NotFound));
    let refused = fail(Command::new("/etc/passwd")).await;
    assert_eq!(refused, ("cannot run `/etc/passwd`".into(), io::ErrorKind::PermissionDenied));
}

#[tokio::test]
async fn input_of_any_size_is_passed() {
    let program = Program::start().await;
    let input: Vec<u8> = (0..10_000_000_u32).map(|n| (n % 251) as u8).collect();
    let output = program.run(Command::new("cat").stdin(input.clone())).await;
    assert!(output.stdout == input);
    assert_eq!(program.run(Command::new("cat")).await.stdout, b"", "without input there is none");
}

#[tokio::test]
async fn input_can_depend_on_output() {
    let program = Program::start().await;
    let mut execution = program.agent.exec(&Command::new("cat").stream_stdin()).unwrap();
    let mut stdin = execution.take_stdin().unwrap();
    for line in ["one\n", "two\n"] {
        stdin.write_all(line.as_bytes()).await.unwrap();
        assert_eq!(soon(execution.next()).await.unwrap(), Some(Event::Stdout(line.into())));
    }
    drop(stdin);
    assert_eq!(soon(execution.next()).await.unwrap(), Some(Event::Exited(Status::Code(0))));
}

#[tokio::test]
async fn writing_to_a_command_that_has_closed_its_input_is_a_broken_pipe() {
    let program = Program::start().await;
    let command = Command::from("exec <&-; echo closed; sleep 1000").stream_stdin();
    let mut execution = program.agent.exec(&command).unwrap();
    assert_eq!(soon(execution.next()).await.unwrap(), Some(Event::Stdout("closed\n".into())));
    let mut stdin = execution.take_stdin().unwrap();
    let endless = async {
        loop {
            if let Err(error) = stdin.write_all(&[0; 10_000]).await {
                break error.kind();
            }
        }
    };
    assert_eq!(soon(endless).await, io::ErrorKind::BrokenPipe);
    // A command that does not read its input is successful.
    assert!(program.run(Command::new("true").stdin(vec![0; 1_000_000])).await.status.success());
    // Wait for the command: the agent is killed next, and would leave the command behind.
    execution.kill();
    assert_eq!(soon(execution.next()).await.unwrap(), Some(Event::Exited(Status::Signal(9))));
}

#[tokio::test]
async fn three_hundred_megabytes_pass_with_little_memory() {
    const SIZE: u64 = 300 << 20;
    struct Checked(u64);
    impl io::Write for Checked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(bytes.iter().all(|byte| *byte == 0));
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let program = Program::start().await;
    let execution = program.agent.exec(&format!("head -c {SIZE} /dev/zero").into()).unwrap();
    let mut counted = Checked(0);
    let status = soon(execution.copy_output(&mut counted, io::sink())).await.unwrap();
    assert_eq!((status, counted.0), (Status::Code(0), SIZE));
    assert!(program.peak_memory() < 8 * 1024, "{} KiB", program.peak_memory());
}

#[tokio::test]
async fn a_command_is_killed_with_its_children_at_the_deadline() {
    let program = Program::start().await;
    // A child, a grandchild in the background, and one in a process group of its own.
    let script = "sleep 1001 & echo $!; sh -c 'sleep 1002 & echo $!; wait' & timeout 1003 sleep 1003 & echo $!; wait";
    let begun = Instant::now();
    let output = program.run(Command::from(script).timeout(Duration::from_millis(500))).await;
    assert_eq!(output.status, Status::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(30));
    let text = output.text();
    let pids: Vec<&str> = text.lines().collect();
    assert_eq!(pids.len(), 3, "{text}");
    assert!(pids.iter().all(|pid| !is_alive(pid)), "{pids:?}");
}

#[tokio::test]
async fn a_daemon_survives_the_command_that_started_it() {
    let program = Program::start().await;
    for script in ["sleep 1000 >/dev/null 2>&1 & echo $!", "sleep 1000 & echo $!"] {
        let output = program.run(script).await;
        assert_eq!(output.status, Status::Code(0));
        let pid = output.text().into_owned();
        assert!(is_alive(&pid), "{script}");
        program.run(format!("kill {pid}")).await;
    }
}

#[tokio::test]
async fn a_daemon_can_go_on_writing_after_the_end_of_its_command() {
    let program = Program::start().await;
    let (_dir, fifo) = fifo();
    // More than fits into a pipe: the daemon would block if nobody read it, and be killed if the pipe were closed.
    let script = format!("(sleep 1; head -c 1000000 /dev/zero; echo done > {fifo}) & echo started");
    assert_eq!(program.run(script).await.text(), "started");
    assert_eq!(program.run(Command::new("cat").arg(&fifo)).await.text(), "done");
}

#[tokio::test]
async fn the_commands_own_output_is_complete_when_a_daemon_holds_the_pipe() {
    let program = Program::start().await;
    let mut execution = program.agent.exec(&"sleep 1000 & echo $!; head -c 60000 /dev/zero; echo end".into()).unwrap();
    // Nothing is read until the command itself has ended.
    program.run("sleep 1").await;
    let mut bytes = Vec::new();
    while let Some(event) = soon(execution.next()).await.unwrap() {
        if let Event::Stdout(chunk) = event {
            bytes.extend(chunk);
        }
    }
    assert!(bytes.ends_with(b"\0end\n"), "{}", bytes.len());
    let pid = String::from_utf8(bytes.split(|byte| *byte == b'\n').next().unwrap().to_vec()).unwrap();
    program.run(format!("kill {pid}")).await;
}

#[tokio::test]
async fn dropping_an_execution_kills_the_command_with_its_children() {
    let program = Program::start().await;
    let (_dir, fifo) = fifo();
    let mut execution = program.agent.exec(&format!("exec 9>{fifo}; sleep 1000 & echo up; sleep 1000").into()).unwrap();
    let closed = program.agent.exec(&Command::new("cat").arg(&fifo)).unwrap();
    assert_eq!(soon(execution.next()).await.unwrap(), Some(Event::Stdout("up\n".into())));
    drop(execution);
    // The reader ends when the last of the three processes that hold the other end is dead.
    assert!(soon(closed.output()).await.unwrap().status.success());
}

#[tokio::test]
async fn an_execution_needs_no_runtime() {
    let program = Program::start().await;
    let execution = program.agent.exec(&Command::new("cat").stdin("elsewhere")).unwrap();
    let collect = move || futures::executor::block_on(execution.output());
    let output = soon(tokio::task::spawn_blocking(move || std::thread::spawn(collect).join().unwrap())).await.unwrap();
    assert_eq!(output.unwrap().text(), "elsewhere");
}

#[tokio::test]
async fn a_signal_lets_a_command_finish_its_work() {
    let program = Program::start().await;
    let mut execution =
        program.agent.exec(&"trap 'kill $!; echo bye; exit 4' INT; echo up; sleep 1000 & wait".into()).unwrap();
    assert_eq!(soon(execution.next()).await.unwrap(), Some(Event::Stdout("up\n".into())));
    execution.signal(2);
    let output = soon(execution.output()).await.unwrap();
    assert_eq!((output.text().as_ref(), output.status), ("bye", Status::Code(4)));
}

#[tokio::test]
async fn a_killed_command_still_reports_its_output_and_status() {
    let program = Program::start().await;
    let mut execution = program.agent.exec(&"echo up; sleep 1000".into()).unwrap();
    assert_eq!(soon(execution.next()).await.unwrap(), Some(Event::Stdout("up\n".into())));
    execution.kill();
    assert_eq!(soon(execution.next()).await.unwrap(), Some(Event::Exited(Status::Signal(9))));
}

#[tokio::test]
async fn twenty_commands_run_at_once() {
    let program = Program::start().await;
    let begun = Instant::now();
    let runs =
        (0..20).map(|n| program.agent.exec(&format!("sleep 2; seq {n} 20000 | tail -1; exit {n}").into()).unwrap());
    let outputs = soon(try_join_all(runs.map(crate::guest::exec::Execution::output))).await.unwrap();
    for (n, output) in outputs.iter().enumerate() {
        assert_eq!((output.text().as_ref(), output.status), ("20000", Status::Code(n as i32)));
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "not one after the other");
}

#[tokio::test]
async fn a_command_whose_output_is_not_read_does_not_block_others() {
    let program = Program::start().await;
    let mut slow: Vec<_> = (0..5).map(|_| program.agent.exec(&"yes".into()).unwrap()).collect();
    for execution in &mut slow {
        soon(execution.next()).await.unwrap();
    }
    let output = program.run("seq 1 1000000 | tail -1").await;
    assert_eq!(output.text(), "1000000");
    assert!(program.peak_memory() < 8 * 1024);
}

#[tokio::test]
async fn the_agent_ends_with_its_socket_and_kills_its_commands() {
    let mut program = Program::start().await;
    let mut execution = program.agent.exec(&"echo $$; sleep 1000".into()).unwrap();
    let Some(Event::Stdout(pid)) = soon(execution.next()).await.unwrap() else { panic!("no output") };
    let (unused, _) = UnixStream::pair().unwrap();
    // Dropping the last handles closes the channel.
    program.agent = Agent::new(unused);
    drop(execution);
    let mut process = Process::new("true").spawn().unwrap();
    std::mem::swap(&mut process, &mut program.process);
    let status = soon(tokio::task::spawn_blocking(move || process.wait())).await.unwrap().unwrap();
    assert!(status.success());
    assert!(!is_alive(String::from_utf8(pid).unwrap().trim()));
}
