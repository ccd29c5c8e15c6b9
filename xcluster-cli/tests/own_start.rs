//! The user's own start with real VMs: nodes booted one by one, by a hook or by `boot`, and QEMUs that the user starts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// A temporary folder for everything except the guest, which is built once for all tests.
struct Terminal {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Terminal {
    fn new(name: &'static str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), name }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn xcluster(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xcluster"));
        command.args(args).env("XDG_RUNTIME_DIR", self.folder.path()).env("XCLUSTER_NAME", self.name);
        command.env_remove("XCLUSTER_HOOK").stdin(Stdio::null());
        command
    }

    fn runs(&self, args: &[&str]) -> Output {
        self.xcluster(args).output().unwrap()
    }

    /// The standard output of a command that succeeds.
    fn stdout(&self, args: &[&str]) -> String {
        let output = self.runs(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.stdout(args)).unwrap()
    }

    /// The nodes and their states.
    fn states(&self) -> Vec<(u64, String)> {
        let status = self.json(&["status", "--json"]);
        let state =
            |node: &serde_json::Value| (node["id"].as_u64().unwrap(), node["state"].as_str().unwrap().to_owned());
        status["nodes"].as_array().unwrap().iter().map(state).collect()
    }

    fn assert_states(&self, expected: &[(u64, &str)]) {
        let expected: Vec<(u64, String)> = expected.iter().map(|(id, state)| (*id, (*state).to_owned())).collect();
        assert_eq!(self.states(), expected);
    }

    fn nothing_is_left(&self) -> bool {
        fs::read_dir(self.path("xcluster")).is_ok_and(|entries| entries.count() == 0)
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

#[test]
fn a_start_function_for_the_original_xcluster_boots_its_nodes() {
    let terminal = Terminal::new("old");
    let hook = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/old-hook.sh");
    // The fixture may belong to another user.
    fs::copy(hook, terminal.path("hook")).unwrap();
    let hooked = |args: &[&str]| terminal.xcluster(args).env("XCLUSTER_HOOK", terminal.path("hook")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&hooked(&["routers"]).stdout), "201\n");
    let started = hooked(&["mystart", "--nvm=2", "--nets2=0,1,5", "more"]);
    let stderr = String::from_utf8_lossy(&started.stderr);
    assert!(started.status.success(), "{stderr}");
    assert!(stderr.contains("further args: more\n"), "{stderr}");
    terminal.assert_states(&[(1, "ready"), (2, "ready"), (201, "ready")]);
    let plan = terminal.json(&["plan", "--running", "--json"]);
    let of = |index: usize, what: &str| plan["nodes"][index][what].clone();
    assert_eq!((of(1, "nets"), of(2, "memory")), (serde_json::json!([0, 1, 5]), serde_json::json!(160)));
    assert_eq!(
        terminal.stdout(&["exec", "1", "--", "ping -c1 -W20 192.168.1.201 >/dev/null && echo reached"]),
        "reached\n"
    );
    // The hook can stop the cluster, too.
    assert!(hooked(&["stop"]).status.success());
    assert!(terminal.nothing_is_left());
}

#[test]
fn nodes_can_be_booted_stopped_and_booted_again_one_by_one() {
    let terminal = Terminal::new("hand");
    terminal.stdout(&["start", "--no-nodes", "--nvm", "1", "--nrouters", "1", "--net", "user"]);
    terminal.assert_states(&[(1, "waiting"), (201, "waiting")]);
    let booted = terminal.json(&["boot", "1", "7", "--json", "--append", "own.arg"]);
    let names: Vec<_> = booted.as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["vm-001", "vm-007"]);
    assert!(terminal.stdout(&["exec", "7", "--", "cat /proc/cmdline"]).contains("own.arg"));

    let again = terminal.runs(&["boot", "7"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("vm-007 is already running"), "{again:?}");
    terminal.stdout(&["stop", "7"]);
    terminal.assert_states(&[(1, "ready"), (7, "stopped"), (201, "waiting")]);
    terminal.stdout(&["boot", "7", "--nets", "0,1,4", "--mem", "160"]);
    assert_eq!(terminal.stdout(&["exec", "7", "--", "ls /sys/class/net | grep -c eth"]), "3\n");

    let refused = terminal.runs(&["boot", "8", "--nets", "1,1", "--smp", "0"]);
    assert_eq!(refused.status.code(), Some(3));
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(stderr.contains("net 0 must be first") && stderr.contains("at least one processor"), "{stderr}");
    // An arg that QEMU refuses is reported with QEMU's message, and the other nodes keep running.
    let broken = terminal.runs(&["boot", "8", "--qemu-arg", "-no-such-arg"]);
    let stderr = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(stderr.contains("cannot start vm-008") && stderr.contains("-no-such-arg: invalid option"), "{stderr}");
    terminal.assert_states(&[(1, "ready"), (7, "ready"), (8, "failed"), (201, "waiting")]);

    // Nodes that were added later end with their owner, too.
    let status = terminal.json(&["status", "--json"]);
    let qemus = status["nodes"].as_array().unwrap().iter().filter_map(|node| node["pid"].as_i64());
    let pids: Vec<i32> = qemus.chain(status["owner"].as_i64()).map(|pid| pid.try_into().unwrap()).collect();
    assert_eq!(pids.len(), 3);
    kill(Pid::from_raw(pids[2]), Signal::SIGKILL).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while pids.iter().any(|pid| runs(*pid)) {
        assert!(Instant::now() < deadline, "a process outlives its owner");
        std::thread::yield_now();
    }
    assert_eq!(terminal.runs(&["status"]).status.code(), Some(4));
    assert!(terminal.nothing_is_left());
}

/// Whether a process runs and is not a zombie.
fn runs(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn concurrent_boots_open_one_cluster() {
    let terminal = Terminal::new("together");
    let boot = |node: &str| {
        let mut command = terminal.xcluster(&["boot", node]);
        command.env("__nvm", "2").env("__nrouters", "0").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for booted in [boot("1"), boot("2"), boot("3")] {
        let output = booted.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    terminal.assert_states(&[(1, "ready"), (2, "ready"), (3, "ready")]);
}

/// A QEMU that the user starts. Dropping the value kills it.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

impl Terminal {
    /// Starts a QEMU with these args in the cluster's network namespace.
    fn qemu(&self, args: &[String]) -> Guest {
        let image = self.json(&["image", "--json"]);
        let file = |name: &str| image[name].as_str().unwrap().to_owned();
        let mut command = self.xcluster(&["nsenter", self.name, "qemu-system-x86_64", "-M", "pc", "-accel", "tcg"]);
        command.args(["-m", "256", "-display", "none", "-nodefaults", "-kernel", &file("kernel")]);
        command.args(["-initrd", &file("initramfs"), "-append", "quiet"]);
        command.args(args.iter().flat_map(|line| line.split_whitespace()));
        Guest(command.process_group(0).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap())
    }

    /// Whether node 1 reaches an address within a minute. No event reports that the user's own guest is up.
    fn reaches(&self, address: &str) -> bool {
        let line =
            format!("for i in $(seq 60); do ping -c1 -W1 {address} >/dev/null 2>&1 && exit 0; sleep 1; done; exit 1");
        self.runs(&["exec", "--timeout", "180", "1", "--", &line]).status.success()
    }
}

#[test]
fn a_users_own_qemu_joins_the_nets_with_the_args_of_net_setup() {
    own_qemu_joins_the_nets(&Terminal::new("args"), "1", "");
}

#[test]
fn a_users_own_qemu_can_open_a_tap_with_several_queues() {
    own_qemu_joins_the_nets(&Terminal::new("queues"), "2", ",queues=2");
}

fn own_qemu_joins_the_nets(terminal: &Terminal, queues: &str, queue_args: &str) {
    terminal.stdout(&[
        "start",
        "--queues",
        queues,
        "--net",
        "bridge",
        "--netns",
        "private",
        "--nvm",
        "1",
        "--nrouters",
        "0",
    ]);
    let args: Vec<String> = ["0", "1"].iter().map(|net| terminal.stdout(&["net-setup", "9", net])).collect();
    let tap = format!("-netdev tap,id=net1,ifname=xcbr1_t9,script=no,downscript=no{queue_args} -device ");
    assert!(args[1].starts_with(&tap), "{args:?}");
    assert_eq!(terminal.stdout(&["net-setup", "9", "1"]), args[1], "a repeated call prints other args");
    let json = terminal.json(&["net-setup", "--json", "9", "1"]);
    assert_eq!((&json["teardown"], &json["access"]["inside"]), (&true.into(), &"192.168.1.9".into()));
    let guest = terminal.qemu(&args);
    assert!(terminal.reaches("192.168.0.9"));
    drop(guest);

    terminal.stdout(&["net-setup", "teardown", "9", "1"]);
    terminal.stdout(&["net-setup", "teardown", "9", "1"]);
    let left = terminal.stdout(&["nsenter", terminal.name, "cat", "/proc/net/dev"]);
    assert!(left.contains("xcbr0_t9") && !left.contains("xcbr1_t9"), "{left}");
    // Then the cluster may boot the node itself.
    terminal.stdout(&["boot", "9"]);
    let refused = terminal.runs(&["net-setup", "9", "1"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    terminal.stdout(&["stop"]);
    assert!(terminal.nothing_is_left());
}

#[test]
fn net_setup_opens_a_cluster_and_adds_nodes_and_nets() {
    let terminal = Terminal::new("opened");
    let call = |args: &[&str]| {
        let output = terminal.xcluster(args).env("__nvm", "1").env("__nrouters", "0").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(call(&["net-setup", "33", "6"]).contains("net6"));
    terminal.assert_states(&[(1, "waiting"), (33, "waiting")]);
    let plan = terminal.json(&["plan", "--running", "--json"]);
    assert_eq!(plan["nodes"][1]["nets"], serde_json::json!([0, 1, 6]));
    for wrong in [&["net-setup", "300", "1"][..], &["net-setup", "1", "x"], &["net-setup", "undo", "1", "1"]] {
        assert!(matches!(terminal.runs(wrong).status.code(), Some(2 | 3)), "{wrong:?}");
    }
}

/// `net-setup` of one cluster is the net-setup script of another one.
#[test]
fn a_cluster_gets_its_ports_by_the_net_setup_of_another_one() {
    let (under, over) = (Terminal::new("under"), Terminal::new("over"));
    under.stdout(&["start", "--no-nodes", "--net", "user", "--nvm", "2", "--nrouters", "0"]);
    let script = format!(
        "#!/bin/sh\nexec env XDG_RUNTIME_DIR={} {} net-setup --name under --json \"$@\"\n",
        under.folder.path().display(),
        env!("CARGO_BIN_EXE_xcluster"),
    );
    fs::write(over.path("net-setup"), script).unwrap();
    fs::set_permissions(over.path("net-setup"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = over.path("net-setup");
    over.stdout(&["start", "--net-setup", path.to_str().unwrap(), "--nvm", "2", "--nrouters", "0"]);
    assert!(over.reaches("192.168.1.2"));
    assert!(over.stdout(&["ssh", "2", "hostname"]).contains("vm-002"));
    over.stdout(&["stop", "2"]);
    // The stop tore down the port in the other cluster; the boot sets it up again.
    over.stdout(&["boot", "2"]);
    assert!(over.reaches("192.168.1.2"));
    over.stdout(&["stop"]);
    under.stdout(&["boot", "1"]);
}

#[test]
fn an_interrupted_boot_is_cancelled_and_the_cluster_continues() {
    let terminal = Terminal::new("interrupted");
    terminal.stdout(&[
        "start",
        "--no-nodes",
        "--net",
        "user",
        "--nvm",
        "1",
        "--nrouters",
        "0",
        "--ready",
        "console:never",
    ]);
    let mut booting = terminal.xcluster(&["boot", "1"]).process_group(0).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while terminal.states() != [(1, "booting".to_owned())] {
        assert!(Instant::now() < deadline, "the node does not boot");
        std::thread::yield_now();
    }
    killpg(Pid::from_raw(booting.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(booting.wait().unwrap().code(), Some(130));
    // A stop waits until the cancelled boot is torn down.
    terminal.stdout(&["stop", "1"]);
    terminal.assert_states(&[(1, "stopped")]);
}
