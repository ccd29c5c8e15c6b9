//! Starts of one's own with real VMs: nodes booted one by one, by a hook or by hand, and QEMUs that are not ours.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// A folder of its own for everything but the guest, which is built once for all tests.
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

    /// Runs it and gives what it printed. It must succeed.
    fn says(&self, args: &[&str]) -> String {
        let output = self.runs(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.says(args)).unwrap()
    }

    /// The nodes and how they are.
    fn states(&self) -> Vec<(u64, String)> {
        let status = self.json(&["status", "--json"]);
        let state =
            |node: &serde_json::Value| (node["id"].as_u64().unwrap(), node["state"].as_str().unwrap().to_owned());
        status["nodes"].as_array().unwrap().iter().map(state).collect()
    }

    fn are(&self, expected: &[(u64, &str)]) {
        let expected: Vec<(u64, String)> = expected.iter().map(|(id, state)| (*id, (*state).to_owned())).collect();
        assert_eq!(self.states(), expected);
    }

    fn nothing_is_left(&self) -> bool {
        fs::read_dir(self.path("xcluster")).is_ok_and(|entries| entries.count() == 0)
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

#[test]
fn a_start_function_of_the_original_xclusters_kind_starts_its_nodes() {
    let terminal = Terminal::new("old");
    let hook = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/old-hook.sh");
    // It may belong to whoever has built this.
    fs::copy(hook, terminal.path("hook")).unwrap();
    let hooked = |args: &[&str]| terminal.xcluster(args).env("XCLUSTER_HOOK", terminal.path("hook")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&hooked(&["routers"]).stdout), "201\n");
    let started = hooked(&["mystart", "--nvm=2", "--nets2=0,1,5", "more"]);
    let stderr = String::from_utf8_lossy(&started.stderr);
    assert!(started.status.success(), "{stderr}");
    assert!(stderr.contains("further words: more\n"), "{stderr}");
    terminal.are(&[(1, "ready"), (2, "ready"), (201, "ready")]);
    let plan = terminal.json(&["plan", "--running", "--json"]);
    let of = |index: usize, what: &str| plan["nodes"][index][what].clone();
    assert_eq!((of(1, "nets"), of(2, "memory")), (serde_json::json!([0, 1, 5]), serde_json::json!(160)));
    assert_eq!(
        terminal.says(&["exec", "1", "--", "ping -c1 -W20 192.168.1.201 >/dev/null && echo reached"]),
        "reached\n"
    );
    // A hook stops what it has started.
    assert!(hooked(&["stop"]).status.success());
    assert!(terminal.nothing_is_left());
}

#[test]
fn nodes_are_booted_stopped_and_booted_again_by_hand() {
    let terminal = Terminal::new("hand");
    terminal.says(&["start", "--no-nodes", "--nvm", "1", "--nrouters", "1", "--net", "user"]);
    terminal.are(&[(1, "waiting"), (201, "waiting")]);
    let booted = terminal.json(&["boot", "1", "7", "--json", "--append", "own.word"]);
    let names: Vec<_> = booted.as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["vm-001", "vm-007"]);
    assert!(terminal.says(&["exec", "7", "--", "cat /proc/cmdline"]).contains("own.word"));

    let again = terminal.runs(&["boot", "7"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("vm-007 is already running"), "{again:?}");
    terminal.says(&["stop", "7"]);
    terminal.are(&[(1, "ready"), (7, "stopped"), (201, "waiting")]);
    terminal.says(&["boot", "7", "--nets", "0,1,4", "--mem", "160"]);
    assert_eq!(terminal.says(&["exec", "7", "--", "ls /sys/class/net | grep -c eth"]), "3\n");

    let refused = terminal.runs(&["boot", "8", "--nets", "1,1", "--smp", "0"]);
    assert_eq!(refused.status.code(), Some(3));
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(stderr.contains("net 0 comes first") && stderr.contains("at least one processor"), "{stderr}");
    // What QEMU does not take is told with its words, and the others go on.
    let broken = terminal.runs(&["boot", "8", "--qemu-arg", "-no-such-word"]);
    let stderr = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(stderr.contains("cannot start vm-008") && stderr.contains("-no-such-word: invalid option"), "{stderr}");
    terminal.are(&[(1, "ready"), (7, "ready"), (8, "failed"), (201, "waiting")]);

    // Nodes that came later end with their owner as the first ones do.
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

/// Whether a process is there that is not only waiting for somebody to hear of its end.
fn runs(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn boots_that_come_together_open_one_cluster() {
    let terminal = Terminal::new("together");
    let boot = |node: &str| {
        let mut command = terminal.xcluster(&["boot", node]);
        command.env("__nvm", "2").env("__nrouters", "0").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for booted in [boot("1"), boot("2"), boot("3")] {
        let output = booted.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    terminal.are(&[(1, "ready"), (2, "ready"), (3, "ready")]);
}

/// A QEMU that is not the cluster's, ended with the value.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

impl Terminal {
    /// Runs a QEMU with these words by hand, as a shell would, in the cluster's network namespace.
    fn qemu(&self, args: &[String]) -> Guest {
        let image = self.json(&["image", "--json"]);
        let file = |name: &str| image[name].as_str().unwrap().to_owned();
        let mut command = self.xcluster(&["nsenter", self.name, "qemu-system-x86_64", "-M", "pc", "-accel", "tcg"]);
        command.args(["-m", "256", "-display", "none", "-nodefaults", "-kernel", &file("kernel")]);
        command.args(["-initrd", &file("initramfs"), "-append", "quiet"]);
        command.args(args.iter().flat_map(|line| line.split_whitespace()));
        Guest(command.process_group(0).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap())
    }

    /// Whether node 1 reaches an address within a minute: nothing tells when a guest that is not ours is up.
    fn reaches(&self, address: &str) -> bool {
        let line =
            format!("for i in $(seq 60); do ping -c1 -W1 {address} >/dev/null 2>&1 && exit 0; sleep 1; done; exit 1");
        self.runs(&["exec", "--timeout", "180", "1", "--", &line]).status.success()
    }
}

#[test]
fn a_qemu_of_ones_own_is_a_node_by_the_args_of_net_setup() {
    is_a_node(&Terminal::new("words"), "1", "");
}

#[test]
fn a_tap_of_several_queues_is_opened_by_its_name_too() {
    is_a_node(&Terminal::new("queues"), "2", ",queues=2");
}

fn is_a_node(terminal: &Terminal, queues: &str, queue_args: &str) {
    terminal.says(&[
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
    let args: Vec<String> = ["0", "1"].iter().map(|net| terminal.says(&["net-setup", "9", net])).collect();
    let tap = format!("-netdev tap,id=net1,ifname=xcbr1_t9,script=no,downscript=no{queue_args} -device ");
    assert!(args[1].starts_with(&tap), "{args:?}");
    assert_eq!(terminal.says(&["net-setup", "9", "1"]), args[1], "a repeated call answers otherwise");
    let json = terminal.json(&["net-setup", "--json", "9", "1"]);
    assert_eq!((&json["teardown"], &json["access"]["inside"]), (&true.into(), &"192.168.1.9".into()));
    let guest = terminal.qemu(&args);
    assert!(terminal.reaches("192.168.0.9"));
    drop(guest);

    terminal.says(&["net-setup", "teardown", "9", "1"]);
    terminal.says(&["net-setup", "teardown", "9", "1"]);
    let left = terminal.says(&["nsenter", terminal.name, "cat", "/proc/net/dev"]);
    assert!(left.contains("xcbr0_t9") && !left.contains("xcbr1_t9"), "{left}");
    // The cluster may run it itself, then.
    terminal.says(&["boot", "9"]);
    let refused = terminal.runs(&["net-setup", "9", "1"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    terminal.says(&["stop"]);
    assert!(terminal.nothing_is_left());
}

#[test]
fn net_setup_opens_a_cluster_and_wires_what_is_in_no_plan() {
    let terminal = Terminal::new("opened");
    let call = |args: &[&str]| {
        let output = terminal.xcluster(args).env("__nvm", "1").env("__nrouters", "0").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(call(&["net-setup", "33", "6"]).contains("net6"));
    terminal.are(&[(1, "waiting"), (33, "waiting")]);
    let plan = terminal.json(&["plan", "--running", "--json"]);
    assert_eq!(plan["nodes"][1]["nets"], serde_json::json!([0, 1, 6]));
    for wrong in [&["net-setup", "300", "1"][..], &["net-setup", "1", "x"], &["net-setup", "undo", "1", "1"]] {
        assert!(matches!(terminal.runs(wrong).status.code(), Some(2 | 3)), "{wrong:?}");
    }
}

/// The words of one cluster's nets are another one's net-setup script.
#[test]
fn a_cluster_gets_its_ports_by_the_net_setup_of_another_one() {
    let (under, over) = (Terminal::new("under"), Terminal::new("over"));
    under.says(&["start", "--no-nodes", "--net", "user", "--nvm", "2", "--nrouters", "0"]);
    let script = format!(
        "#!/bin/sh\nexec env XDG_RUNTIME_DIR={} {} net-setup --name under --json \"$@\"\n",
        under.folder.path().display(),
        env!("CARGO_BIN_EXE_xcluster"),
    );
    fs::write(over.path("net-setup"), script).unwrap();
    fs::set_permissions(over.path("net-setup"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = over.path("net-setup");
    over.says(&["start", "--net-setup", path.to_str().unwrap(), "--nvm", "2", "--nrouters", "0"]);
    assert!(over.reaches("192.168.1.2"));
    assert!(over.says(&["ssh", "2", "hostname"]).contains("vm-002"));
    over.says(&["stop", "2"]);
    // Its end has undone the wiring over there, and it is wired anew.
    over.says(&["boot", "2"]);
    assert!(over.reaches("192.168.1.2"));
    over.says(&["stop"]);
    under.says(&["boot", "1"]);
}

#[test]
fn an_interrupted_boot_is_called_off_and_the_cluster_goes_on() {
    let terminal = Terminal::new("interrupted");
    terminal.says(&[
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
        assert!(Instant::now() < deadline, "it does not boot");
        std::thread::yield_now();
    }
    killpg(Pid::from_raw(booting.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(booting.wait().unwrap().code(), Some(130));
    // Whoever stops it, too, waits until that is done.
    terminal.says(&["stop", "1"]);
    terminal.are(&[(1, "stopped")]);
}
