//! The command with a real VM, as a user at a terminal runs it: start, log in, copy, interrupt, kill, check for leftovers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A size in bytes that exceeds all buffers between the command and a program in the node.
const BULK: usize = 20_000_000;

/// The output of sha256sum for this data.
const BULK_SUM: &str = "37a2e354ca1974c2787ba91febf6fe6a3d67621e90ad9853e02e768e72e2eb49  -\n";

/// How long the kernel may take to end the processes of a killed owner.
const ENDS: Duration = Duration::from_secs(10);

/// A temporary folder for everything except the guest, which is built once for all tests.
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

    /// The standard output of a command with this input. It must succeed.
    fn stdout(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.runs(args, input);
        assert!(output.status.success(), "{args:?}: {output:?}");
        output.stdout
    }

    fn runs(&self, args: &[&str], input: &[u8]) -> Output {
        let mut command = self.xcluster(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // In a thread: a command that prints before it has read all input would block otherwise.
        let writing = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        // The write fails if the command ended early; its exit code shows why.
        let _ = writing.join().unwrap();
        output
    }
}

/// Stops the owner that a failed test leaves behind. It is not a child process of the test.
impl Drop for Terminal {
    fn drop(&mut self) {
        let stop = self.xcluster(&["stop"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        // This fails if the cluster is already stopped.
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
fn a_user_at_a_terminal_starts_uses_and_loses_a_cluster() {
    let terminal = Terminal::new();
    terminal.stdout(&["start", "--net", "user", "--nvm", "1", "--nrouters", "0"], b"");
    let status: serde_json::Value = serde_json::from_slice(&terminal.stdout(&["status", "--json"], b"")).unwrap();
    assert_eq!((&status["state"], &status["nodes"][0]["state"]), (&"ready".into(), &"ready".into()));

    // Commands: output, input, exit codes.
    assert_eq!(text(&terminal.stdout(&["exec", "1", "--", "hostname"], b"")), "vm-001\n");
    assert_eq!(terminal.runs(&["exec", "1", "--", "exit 7"], b"").status.code(), Some(7));
    assert_eq!(terminal.runs(&["exec", "--timeout", "1", "1", "--", "sleep 100"], b"").status.code(), Some(124));
    assert_eq!(terminal.runs(&["exec", "9", "--", "true"], b"").status.code(), Some(255));

    // Large data in both directions at once arrives completely.
    let bulk = bulk();
    assert!(terminal.stdout(&["exec", "1", "--", "cat"], &bulk) == bulk, "the output differs from the input");

    interrupts_reach_the_command(&terminal);

    // Files: by name and by pipe.
    let file = terminal.folder.path().join("file");
    std::fs::write(&file, "hello\n").unwrap();
    terminal.stdout(&["cp", file.to_str().unwrap(), "1:/tmp/"], b"");
    assert_eq!(text(&terminal.stdout(&["cp", "1:/tmp/file", "-"], b"")), "hello\n");
    terminal.stdout(&["cp", "-", "1:/tmp/piped"], b"piped\n");
    assert_eq!(text(&terminal.stdout(&["exec", "1", "--", "cat /tmp/piped"], b"")), "piped\n");

    // Logins: by telnet, with the built-in client, and by ssh.
    let telnet = text(&terminal.stdout(&["vm", "1"], b"echo logged in as $(whoami)\nexit\n"));
    assert!(telnet.contains("logged in as root"), "{telnet}");
    assert_eq!(text(&terminal.stdout(&["ssh", "1", "hostname"], b"")), "vm-001\n");
    let console = text(&terminal.stdout(&["console", "--log", "1"], b""));
    assert!(console.contains("xcluster: ready"), "{console}");

    // The owner is killed, and the kernel ends its processes. The next command removes the folder.
    let pid = |value: &serde_json::Value| i32::try_from(value.as_i64().unwrap()).unwrap();
    let (owner, qemu) = (pid(&status["owner"]), pid(&status["nodes"][0]["pid"]));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(owner), nix::sys::signal::Signal::SIGKILL).unwrap();
    for process in [owner, qemu] {
        assert!(ends(process), "process {process} still runs");
    }
    assert_eq!(terminal.runs(&["status"], b"").status.code(), Some(4));
    assert!(!terminal.folder.path().join("xcluster/terminal").exists());
}

/// Ctrl-C while nobody reads the output: the command in the node gets the signal, and a second one ends `exec`.
fn interrupts_reach_the_command(terminal: &Terminal) {
    let endless = |trap: &str| {
        let line = format!("trap '{trap}' INT; while :; do echo again; done");
        let mut command = terminal.xcluster(&["exec", "-n", "1", "--", &line]);
        let mut endless = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = endless.stdout.take().unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        (endless, stdout)
    };
    let interrupt = |process: &Child| {
        let pid = nix::unistd::Pid::from_raw(process.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    };
    let (mut handled, mut stdout) = endless("touch /tmp/handled; exit 3");
    interrupt(&handled);
    terminal.stdout(&["exec", "--timeout", "30", "1", "--", "until [ -e /tmp/handled ]; do :; done"], b"");
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    assert_eq!(handled.wait().unwrap().code(), Some(3));
    let (mut ignored, _unread) = endless("");
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = ignored.try_wait().unwrap() {
            break status.code();
        }
        assert!(begun.elapsed() < ENDS, "a second Ctrl-C does not end it");
        interrupt(&ignored);
        std::thread::yield_now();
    };
    assert_eq!(code, Some(130));
}

#[test]
fn bridges_have_the_same_commands_and_more() {
    let before = bridges_and_taps();
    let terminal = Terminal::new();
    terminal.stdout(&["start", "--net", "bridge", "--mtu", "9000", "--nvm", "1", "--nrouters", "0"], b"");
    let status: serde_json::Value = serde_json::from_slice(&terminal.stdout(&["status", "--json"], b"")).unwrap();
    assert_eq!((&status["netns"], &status["nets"][1]["mtu"]), (&"private".into(), &9000.into()));
    assert!(text(&terminal.stdout(&["status"], b"")).contains("`xcluster vm --name terminal 1`"));

    // Logins without ports of the host.
    assert!(terminal.stdout(&["connect", "1", "22"], b"").starts_with(b"SSH-"));
    let telnet = text(&terminal.stdout(&["vm", "1"], b"echo logged in as $(whoami)\nexit\n"));
    assert!(telnet.contains("logged in as root"), "{telnet}");
    assert_eq!(text(&terminal.stdout(&["ssh", "1", "cat /sys/class/net/eth1/mtu"], b"")), "9000\n");

    // All input arrives, and its end is forwarded before the answer comes.
    let listen =
        "setsid nc -ll -p 7 -e sha256sum </dev/null >/dev/null 2>&1 & until netstat -ltn | grep -q :::7; do :; done";
    terminal.stdout(&["exec", "1", "--", listen], b"");
    let bulk = bulk();
    assert_eq!(text(&terminal.stdout(&["connect", "1", "7"], &bulk)), BULK_SUM);

    let forward = ports_lead_to_nodes(&terminal);

    // Programs in the network namespace run as the user.
    let seen =
        text(&terminal.stdout(&["nsenter", "terminal", "sh", "-c", "id -u; ip -o link; ip link set xcbr1 down"], b""));
    assert!(seen.contains("xcbr0_t1") && seen.starts_with(&format!("{}\n", nix::unistd::getuid())), "{seen}");
    let inside = |program: &str| terminal.runs(&["nsenter", "terminal", program], b"").status.code();
    assert_eq!((inside("/nonexistent"), inside("/etc/passwd"), inside("false")), (Some(127), Some(126), Some(1)));

    // Everything ends with the cluster.
    terminal.stdout(&["stop"], b"");
    ended_with_the_cluster(forward);
    assert_eq!(bridges_and_taps(), before);
}

/// Forwards two ports of this host: to a port where the node listens, and to one where it does not.
fn ports_lead_to_nodes(terminal: &Terminal) -> Child {
    let mut forward = terminal.xcluster(&["forward", "0:1:22", "127.0.0.1:0:vm-001:9"]);
    let mut forward = forward.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reported = BufReader::new(forward.stdout.take().unwrap()).lines();
    let mut connection = || {
        let line = reported.next().unwrap().unwrap();
        TcpStream::connect(line.split(' ').next().unwrap()).unwrap()
    };
    let (mut open, mut shut) = (connection(), connection());
    let mut greeting = [0; 4];
    open.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"SSH-");
    assert_eq!(shut.read(&mut greeting).unwrap_or_default(), 0);
    forward
}

fn ended_with_the_cluster(mut forward: Child) {
    assert_eq!(forward.wait().unwrap().code(), Some(4));
    let mut stderr = String::new();
    forward.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(stderr.contains("caused by: cannot connect to port 9 of vm-001"), "{stderr}");
    assert!(stderr.contains("error: cluster `terminal` has ended"), "{stderr}");
}

/// The bridges and taps outside of the cluster's namespace.
fn bridges_and_taps() -> Vec<String> {
    let links = std::fs::read_to_string("/proc/net/dev").unwrap();
    let names = links.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
    names.filter(|name| name.starts_with("xcbr")).collect()
}

/// Whether a process ends in time. It is not our child process, so no event reports its end. A zombie counts as ended when all of
/// its threads have ended: until then they hold its files.
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
