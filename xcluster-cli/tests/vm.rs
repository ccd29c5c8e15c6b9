//! The command with a real VM, as a person at a terminal uses it: start, log in, copy, break, kill, look for leftovers.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// More than all buffers between the command and a program in the node hold together.
const BULK: usize = 20_000_000;

/// How long the kernel may take to end what a killed owner had.
const ENDS: Duration = Duration::from_secs(10);

/// A folder of its own for everything but the guest, which is built once for all tests.
struct Terminal {
    folder: tempfile::TempDir,
}

impl Terminal {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn xcluster(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xcluster"));
        command.args(words).env("XDG_RUNTIME_DIR", self.folder.path()).env("XCLUSTER_NAME", "terminal");
        command
    }

    /// Runs it, with input, and gives what it printed. It must succeed.
    fn says(&self, words: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.runs(words, input);
        assert!(output.status.success(), "{words:?}: {output:?}");
        output.stdout
    }

    fn runs(&self, words: &[&str], input: &[u8]) -> Output {
        let mut command = self.xcluster(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // Beside the reading: a command that answers while it is asked would wait for us otherwise.
        let writing = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        // What ended without reading all of it has told so by its code.
        let _ = writing.join().unwrap();
        output
    }
}

/// The owner is no child of this test: one that a failed claim leaves behind is stopped like any other.
impl Drop for Terminal {
    fn drop(&mut self) {
        let stop = self.xcluster(&["stop"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        // There is nothing to stop where all went well.
        drop(stop);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_person_at_a_terminal_starts_uses_and_loses_a_cluster() {
    let terminal = Terminal::new();
    terminal.says(&["start", "--nvm", "1", "--nrouters", "0"], b"");
    let status: serde_json::Value = serde_json::from_slice(&terminal.says(&["status", "--json"], b"")).unwrap();
    assert_eq!((&status["state"], &status["nodes"][0]["state"]), (&"ready".into(), &"ready".into()));

    // Commands: their output, their input, their codes.
    assert_eq!(text(&terminal.says(&["exec", "1", "--", "hostname"], b"")), "vm-001\n");
    assert_eq!(terminal.runs(&["exec", "1", "--", "exit 7"], b"").status.code(), Some(7));
    assert_eq!(terminal.runs(&["exec", "--timeout", "1", "1", "--", "sleep 100"], b"").status.code(), Some(124));
    assert_eq!(terminal.runs(&["exec", "9", "--", "true"], b"").status.code(), Some(255));

    // A flood in both directions at once gets through whole.
    let bulk: Vec<u8> = (0..BULK).map(|index| (index % 251) as u8).collect();
    assert!(terminal.says(&["exec", "1", "--", "cat"], &bulk) == bulk, "what came back is not what was sent");

    // Files, by name and by pipe.
    let file = terminal.folder.path().join("file");
    std::fs::write(&file, "hello\n").unwrap();
    terminal.says(&["cp", file.to_str().unwrap(), "1:/tmp/"], b"");
    assert_eq!(text(&terminal.says(&["cp", "1:/tmp/file", "-"], b"")), "hello\n");
    terminal.says(&["cp", "-", "1:/tmp/piped"], b"piped\n");
    assert_eq!(text(&terminal.says(&["exec", "1", "--", "cat /tmp/piped"], b"")), "piped\n");

    // Logins: by telnet, with our own client, and by ssh.
    let telnet = text(&terminal.says(&["vm", "1"], b"echo logged in as $(whoami)\nexit\n"));
    assert!(telnet.contains("logged in as root"), "{telnet}");
    assert_eq!(text(&terminal.says(&["ssh", "1", "hostname"], b"")), "vm-001\n");
    let console = text(&terminal.says(&["console", "--log", "1"], b""));
    assert!(console.contains("xcluster: ready"), "{console}");

    // The owner is killed, and the kernel ends what it had; the next command sweeps what is left of the folder.
    let pid = |value: &serde_json::Value| i32::try_from(value.as_i64().unwrap()).unwrap();
    let (owner, qemu) = (pid(&status["owner"]), pid(&status["nodes"][0]["pid"]));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(owner), nix::sys::signal::Signal::SIGKILL).unwrap();
    for process in [owner, qemu] {
        assert!(ends(process), "process {process} is still there");
    }
    assert_eq!(terminal.runs(&["status"], b"").status.code(), Some(4));
    assert!(!terminal.folder.path().join("xcluster/terminal").exists());
}

/// Whether a process that is no child of ours ends in time. Its end is no event for others than its parent, so it is
/// looked for; one that is dead and waits for its parent counts as ended.
fn ends(process: i32) -> bool {
    let runs = || {
        let stat = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"));
        stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or_default().starts_with('Z'))
    };
    let begun = Instant::now();
    while runs() {
        if begun.elapsed() > ENDS {
            return false;
        }
        std::thread::yield_now();
    }
    true
}
