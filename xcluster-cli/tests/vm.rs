//! The command with a real VM, as a person at a terminal uses it: start, log in, copy, break, kill, look for leftovers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// More than all buffers between the command and a program in the node hold together.
const BULK: usize = 20_000_000;

/// What sha256sum says of this bulk.
const BULK_SUM: &str = "37a2e354ca1974c2787ba91febf6fe6a3d67621e90ad9853e02e768e72e2eb49  -\n";

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

    fn xcluster(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xcluster"));
        command.args(args).env("XDG_RUNTIME_DIR", self.folder.path()).env("XCLUSTER_NAME", "terminal");
        command
    }

    /// Runs it, with input, and gives what it printed. It must succeed.
    fn says(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.runs(args, input);
        assert!(output.status.success(), "{args:?}: {output:?}");
        output.stdout
    }

    fn runs(&self, args: &[&str], input: &[u8]) -> Output {
        let mut command = self.xcluster(args);
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

/// The owner is no child of this test: one that a failed test leaves behind is stopped like any other.
impl Drop for Terminal {
    fn drop(&mut self) {
        let stop = self.xcluster(&["stop"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        // There is nothing to stop where all went well.
        drop(stop);
    }
}

fn bulk() -> Vec<u8> {
    (0..BULK).map(|index| (index % 251) as u8).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_person_at_a_terminal_starts_uses_and_loses_a_cluster() {
    let terminal = Terminal::new();
    terminal.says(&["start", "--net", "user", "--nvm", "1", "--nrouters", "0"], b"");
    let status: serde_json::Value = serde_json::from_slice(&terminal.says(&["status", "--json"], b"")).unwrap();
    assert_eq!((&status["state"], &status["nodes"][0]["state"]), (&"ready".into(), &"ready".into()));

    // Commands: their output, their input, their codes.
    assert_eq!(text(&terminal.says(&["exec", "1", "--", "hostname"], b"")), "vm-001\n");
    assert_eq!(terminal.runs(&["exec", "1", "--", "exit 7"], b"").status.code(), Some(7));
    assert_eq!(terminal.runs(&["exec", "--timeout", "1", "1", "--", "sleep 100"], b"").status.code(), Some(124));
    assert_eq!(terminal.runs(&["exec", "9", "--", "true"], b"").status.code(), Some(255));

    // A flood in both directions at once gets through whole.
    let bulk = bulk();
    assert!(terminal.says(&["exec", "1", "--", "cat"], &bulk) == bulk, "what came back is not what was sent");

    interrupts_are_heard(&terminal);

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

/// Ctrl-C, while nobody reads what the command says: the command hears it, and a second one ends ours.
fn interrupts_are_heard(terminal: &Terminal) {
    let endless = |trap: &str| {
        let line = format!("trap '{trap}' INT; while :; do echo again; done");
        let mut command = terminal.xcluster(&["exec", "-n", "1", "--", &line]);
        let mut endless = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = endless.stdout.take().unwrap();
        said.read_exact(&mut [0]).unwrap();
        (endless, said)
    };
    let interrupt = |process: &Child| {
        let pid = nix::unistd::Pid::from_raw(process.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    };
    let (mut heard, mut said) = endless("touch /tmp/heard; exit 3");
    interrupt(&heard);
    terminal.says(&["exec", "--timeout", "30", "1", "--", "until [ -e /tmp/heard ]; do :; done"], b"");
    std::io::copy(&mut said, &mut std::io::sink()).unwrap();
    assert_eq!(heard.wait().unwrap().code(), Some(3));
    let (mut deaf, _unread) = endless("");
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = deaf.try_wait().unwrap() {
            break status.code();
        }
        assert!(begun.elapsed() < ENDS, "a second Ctrl-C does not end it");
        interrupt(&deaf);
        std::thread::yield_now();
    };
    assert_eq!(code, Some(130));
}

#[test]
fn a_person_on_bridges_has_the_same_commands_and_more() {
    let before = bridges_and_taps();
    let terminal = Terminal::new();
    terminal.says(&["start", "--net", "bridge", "--mtu", "9000", "--nvm", "1", "--nrouters", "0"], b"");
    let status: serde_json::Value = serde_json::from_slice(&terminal.says(&["status", "--json"], b"")).unwrap();
    assert_eq!((&status["netns"], &status["nets"][1]["mtu"]), (&"private".into(), &9000.into()));
    assert!(text(&terminal.says(&["status"], b"")).contains("`xcluster vm --name terminal 1`"));

    // Logins, where no port of the host leads to.
    assert!(terminal.says(&["connect", "1", "22"], b"").starts_with(b"SSH-"));
    let telnet = text(&terminal.says(&["vm", "1"], b"echo logged in as $(whoami)\nexit\n"));
    assert!(telnet.contains("logged in as root"), "{telnet}");
    assert_eq!(text(&terminal.says(&["ssh", "1", "cat /sys/class/net/eth1/mtu"], b"")), "9000\n");

    // What is sent arrives whole, and its end is told while the answer is still to come.
    let listen =
        "setsid nc -ll -p 7 -e sha256sum </dev/null >/dev/null 2>&1 & until netstat -ltn | grep -q :::7; do :; done";
    terminal.says(&["exec", "1", "--", listen], b"");
    let bulk = bulk();
    assert_eq!(text(&terminal.says(&["connect", "1", "7"], &bulk)), BULK_SUM);

    let forward = ports_lead_to_nodes(&terminal);

    // Among the bridges, as oneself.
    let seen =
        text(&terminal.says(&["nsenter", "terminal", "sh", "-c", "id -u; ip -o link; ip link set xcbr1 down"], b""));
    assert!(seen.contains("xcbr0_t1") && seen.starts_with(&format!("{}\n", nix::unistd::getuid())), "{seen}");
    let inside = |program: &str| terminal.runs(&["nsenter", "terminal", program], b"").status.code();
    assert_eq!((inside("/nonexistent"), inside("/etc/passwd"), inside("false")), (Some(127), Some(126), Some(1)));

    // The end of the cluster is the end of all of it.
    terminal.says(&["stop"], b"");
    ended_with_the_cluster(forward);
    assert_eq!(bridges_and_taps(), before);
}

/// Ports of this host, for as long as the command runs: one whose node listens, and one whose does not.
fn ports_lead_to_nodes(terminal: &Terminal) -> Child {
    let mut forward = terminal.xcluster(&["forward", "0:1:22", "127.0.0.1:0:vm-001:9"]);
    let mut forward = forward.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reported = BufReader::new(forward.stdout.take().unwrap()).lines();
    let mut door = || {
        let line = reported.next().unwrap().unwrap();
        TcpStream::connect(line.split(' ').next().unwrap()).unwrap()
    };
    let (mut open, mut shut) = (door(), door());
    let mut greeting = [0; 4];
    open.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"SSH-");
    assert_eq!(shut.read(&mut greeting).unwrap_or_default(), 0);
    forward
}

fn ended_with_the_cluster(mut forward: Child) {
    assert_eq!(forward.wait().unwrap().code(), Some(4));
    let mut said = String::new();
    forward.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("caused by: cannot connect to port 9 of vm-001"), "{said}");
    assert!(said.contains("error: cluster `terminal` has ended"), "{said}");
}

/// Those that can be seen from outside of the cluster's namespace.
fn bridges_and_taps() -> Vec<String> {
    let links = std::fs::read_to_string("/proc/net/dev").unwrap();
    let names = links.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
    names.filter(|name| name.starts_with("xcbr")).collect()
}

/// Whether a process that is no child of ours ends in time. Its end is no event for others than its parent, so it is
/// looked for; one that is dead and waits for its parent counts as ended, once all its threads are: each of them holds its
/// files.
fn ends(process: i32) -> bool {
    let tasks = Path::new("/proc").join(process.to_string()).join("task");
    let runs = || {
        let threads = std::fs::read_dir(&tasks).into_iter().flatten().filter_map(Result::ok);
        let mut states = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
        states.any(|stat| !stat.rsplit(") ").next().unwrap_or_default().starts_with('Z'))
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
