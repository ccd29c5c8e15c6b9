//! The processes of a cluster, with a fake QEMU that never boots: which end ends the others, and what is left. The tests wait for
//! the end of pipes, which comes when the last process that holds them has ended.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use tempfile::TempDir;
use xcluster_core::Cluster;
use xcluster_core::plan::{Accel, GuestSource, Options};
use xcluster_net_user::UserBackend;

/// Deadline of every wait, long enough for a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A fake QEMU that holds the pipe open until it is killed.
const HANGS: &str = "exec 9>\"$0.pipe\"; exec sleep 1000";

/// A runtime folder, a fake QEMU, and a file instead of a kernel.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// A fixture whose QEMU has this version and runs this script.
    fn new(version: &str, does: &str) -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap() };
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'QEMU emulator version {version}'; exit; fi\n{does}\n"
        );
        fs::write(fixture.qemu(), script).unwrap();
        fs::set_permissions(fixture.qemu(), fs::Permissions::from_mode(0o700)).unwrap();
        mkfifo(&fixture.path("qemu.pipe"), Mode::S_IRWXU).unwrap();
        fs::write(fixture.path("kernel"), "no kernel").unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn qemu(&self) -> PathBuf {
        self.path("qemu")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(args[0]);
        command.args(&args[1..]).env("XDG_RUNTIME_DIR", self.folder.path()).env("HOME", self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn output(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } =
            self.command(&[env!("CARGO_BIN_EXE_xcluster")]).args(args).output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    /// The process id of the owner.
    fn owner(&self) -> i32 {
        let status: serde_json::Value = serde_json::from_str(&self.output(&["status", "--json"]).1).unwrap();
        status["owner"].as_i64().unwrap().try_into().unwrap()
    }

    /// Begins to start a cluster with one node, with additional args.
    fn start(&self, more: &[&str]) -> Start {
        self.start_by(&[env!("CARGO_BIN_EXE_xcluster")], more)
    }

    /// Begins to start a cluster, and waits until its node boots. Returns the pipe of its QEMU, too.
    fn start_that_hangs(&self) -> (Start, File) {
        let mut start = self.start(&[]);
        let qemu = self.qemu_runs();
        start.wait_for_text("vm-001: booting");
        (start, qemu)
    }

    /// As `start`, with a program that runs its remaining args.
    fn start_by(&self, program: &[&str], more: &[&str]) -> Start {
        let file = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let (kernel, qemu) = (file("kernel"), file("qemu"));
        let mut args =
            vec!["start", "--net", "user", "--nvm", "1", "--nrouters", "0", "--accel", "tcg", "--qemu", &qemu];
        args.extend(["--kernel", &kernel, "--initrd", &kernel]);
        args.extend(more);
        let mut process = self.command(program).args(args).spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        Start { process, stderr: Some(stderr), printed: String::new() }
    }

    /// Waits until the fake QEMU has ended.
    fn no_qemu_runs(&self, qemu: File) {
        within_limit(move || {
            let mut qemu = qemu;
            qemu.read_to_end(&mut Vec::new()).unwrap();
        });
    }

    /// Waits until the fake QEMU runs. The file reaches its end when it has ended.
    fn qemu_runs(&self) -> File {
        let pipe = self.path("qemu.pipe");
        within_limit(move || File::open(pipe).unwrap())
    }

    fn nothing_is_left(&self) -> bool {
        is_empty(&self.path("xcluster"))
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| entries.count() == 0)
}

/// Runs something that waits for an event, and fails after the deadline.
fn within_limit<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(LIMIT).expect("timed out")
}

/// A running `start`.
struct Start {
    process: Child,
    stderr: Option<BufReader<ChildStderr>>,
    printed: String,
}

impl Start {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits until it has printed this.
    fn wait_for_text(&mut self, text: &'static str) {
        let mut stderr = self.stderr.take().unwrap();
        let (stderr, printed) = within_limit(move || {
            let mut printed = String::new();
            while !printed.contains(text) {
                assert!(stderr.read_line(&mut printed).unwrap() > 0, "ended after: {printed}");
            }
            (stderr, printed)
        });
        self.stderr = Some(stderr);
        self.printed.push_str(&printed);
    }

    /// Waits until it has ended, and its owner too, which holds the same standard error. Returns exit code or signal, and everything
    /// that they printed.
    fn end(mut self) -> (Result<i32, i32>, String) {
        let mut stderr = self.stderr.take().unwrap();
        let mut process = self.process;
        let (status, rest) = within_limit(move || {
            let mut rest = String::new();
            stderr.read_to_string(&mut rest).unwrap();
            (process.wait().unwrap(), rest)
        });
        (status.code().ok_or_else(|| status.signal().unwrap()), self.printed + &rest)
    }
}

#[test]
fn an_interrupted_start_leaves_nothing() {
    let fixture = Fixture::new("7.2.0", HANGS);
    for mode in [&[][..], &["--foreground"]] {
        let mut start = fixture.start(mode);
        let qemu = fixture.qemu_runs();
        start.wait_for_text("vm-001: booting");
        start.signal(Signal::SIGINT);
        let (code, printed) = start.end();
        assert_eq!(code, Ok(130), "{printed}");
        assert!(
            printed.contains("error: interrupted before the cluster was ready; nothing is left behind"),
            "{printed}"
        );
        fixture.no_qemu_runs(qemu);
        assert!(fixture.nothing_is_left());
    }
}

#[test]
fn a_killed_start_leaves_nothing() {
    let fixture = Fixture::new("7.2.0", HANGS);
    let start = fixture.start(&[]);
    let qemu = fixture.qemu_runs();
    start.signal(Signal::SIGKILL);
    assert_eq!(start.end().0, Err(9));
    fixture.no_qemu_runs(qemu);
    assert!(fixture.nothing_is_left());
}

#[test]
fn nodes_end_when_a_foreground_start_is_killed() {
    let fixture = Fixture::new("7.2.0", HANGS);
    let start = fixture.start(&["--foreground"]);
    let qemu = fixture.qemu_runs();
    start.signal(Signal::SIGKILL);
    assert_eq!(start.end().0, Err(9));
    fixture.no_qemu_runs(qemu);
    // The next command removes the folder.
    assert_eq!(fixture.output(&["status", "--all", "--json"]).1, "[]\n");
    assert!(fixture.nothing_is_left());
}

#[test]
fn other_commands_can_watch_and_stop_a_start() {
    let fixture = Fixture::new("7.2.0", HANGS);
    let (start, qemu) = fixture.start_that_hangs();
    let (code, json, _) = fixture.output(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (code, &status["state"], &status["nodes"][0]["state"]),
        (Some(0), &"starting".into(), &"booting".into())
    );
    assert_eq!(fixture.output(&["stop"]), (Some(0), String::new(), String::new()));
    fixture.no_qemu_runs(qemu);
    assert!(fixture.nothing_is_left());
    let (code, printed) = start.end();
    assert_eq!(code, Ok(1), "{printed}");
    assert!(
        printed.contains("error: the cluster was stopped before it was ready; nothing is left behind"),
        "{printed}"
    );
}

#[test]
fn a_cluster_that_a_test_owns_can_be_watched_and_stopped() {
    let fixture = Fixture::new("7.2.0", HANGS);
    let mut options = Options::default();
    (options.qemu, options.accel) = (fixture.qemu(), Accel::Tcg);
    let (kernel, initramfs) = (Some(fixture.path("kernel")), Some(fixture.path("kernel")));
    options.guest = GuestSource::Kernel { kernel, initramfs };
    let builder = Cluster::builder().backend(UserBackend::default()).options(options).nodes(1);
    let cluster = Cluster::begin(&builder.name("hangs").folder(fixture.path("xcluster"))).unwrap();
    let qemu = fixture.qemu_runs();
    let (code, json, stderr) = fixture.output(&["status", "--name", "hangs", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&status["state"], &status["owner"]), (&"starting".into(), &std::process::id().into()));
    assert_eq!(fixture.output(&["stop", "--name", "hangs"]), (Some(0), String::new(), String::new()));
    fixture.no_qemu_runs(qemu);
    assert!(fixture.nothing_is_left());
    within_limit(move || futures::executor::block_on(cluster.wait())).unwrap();
}

#[test]
fn nodes_end_when_their_owner_is_killed() {
    let fixture = Fixture::new("7.2.0", HANGS);
    let (start, qemu) = fixture.start_that_hangs();
    kill(Pid::from_raw(fixture.owner()), Signal::SIGKILL).unwrap();
    fixture.no_qemu_runs(qemu);
    let (code, printed) = start.end();
    assert_eq!(code, Ok(1), "{printed}");
    assert!(printed.contains("caused by: it ended without a message: signal: 9 (SIGKILL)"), "{printed}");
    assert_eq!(fixture.output(&["status"]).0, Some(4));
    assert!(fixture.nothing_is_left());
}

/// A test harness that keeps a pipe open, like bats with descriptor 3, waits for all holders of the pipe.
#[test]
fn an_owner_closes_inherited_descriptors() {
    let fixture = Fixture::new("7.2.0", HANGS);
    let fifo = fixture.path("harness.pipe");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let reading = std::thread::spawn({
        let fifo = fifo.clone();
        move || File::open(fifo).unwrap().read_to_end(&mut Vec::new())
    });
    let line = format!("exec 3>{}; xcluster=$1; shift; \"$xcluster\" \"$@\" & exec 3>&-; wait $!", fifo.display());
    let mut start = fixture.start_by(&["sh", "-c", &line, "sh", env!("CARGO_BIN_EXE_xcluster")], &[]);
    let qemu = fixture.qemu_runs();
    start.wait_for_text("vm-001: booting");
    // `start` still holds the pipe, but the owner must not.
    let owner = fixture.owner();
    let pipe = fs::metadata(&fifo).unwrap();
    let held =
        fs::read_dir(format!("/proc/{owner}/fd")).unwrap().filter_map(|entry| fs::metadata(entry.ok()?.path()).ok());
    assert!(!held.into_iter().any(|file| (file.dev(), file.ino()) == (pipe.dev(), pipe.ino())));
    assert_eq!(fixture.output(&["stop"]).0, Some(0));
    fixture.no_qemu_runs(qemu);
    assert_eq!(start.end().0, Ok(1));
    within_limit(move || drop(reading.join()));
}

#[test]
fn a_second_cluster_with_the_same_name_is_refused() {
    let fixture = Fixture::new("7.2.0", HANGS);
    let (first, qemu) = fixture.start_that_hangs();
    let (code, printed) = fixture.start(&[]).end();
    assert_eq!(code, Ok(6));
    insta::assert_snapshot!(printed);
    assert_eq!(fixture.output(&["status"]).0, Some(0));
    first.signal(Signal::SIGTERM);
    fixture.no_qemu_runs(qemu);
    assert_eq!(first.end().0, Err(15));
}

#[test]
fn a_qemu_that_ends_is_reported_with_its_last_messages() {
    let fixture = Fixture::new("7.2.0", "echo 'qemu: no such device: warp-drive' >&2; exit 3");
    let (code, printed) = fixture.start(&[]).end();
    assert_eq!(code, Ok(1));
    // The times of the guest's steps vary.
    let printed: Vec<&str> = printed.lines().filter(|line| !line.starts_with("guest:")).collect();
    insta::assert_snapshot!(printed.join("\n"));
    assert!(fixture.nothing_is_left());
}

#[test]
fn a_node_that_misses_its_deadline_has_its_own_exit_code() {
    let fixture = Fixture::new("7.2.0", HANGS);
    let start = fixture.start(&["--timeout", "1"]);
    let qemu = fixture.qemu_runs();
    let (code, printed) = start.end();
    assert_eq!(code, Ok(124), "{printed}");
    fixture.no_qemu_runs(qemu);
    assert!(fixture.nothing_is_left());
}

#[test]
fn a_qemu_that_is_too_old_is_reported() {
    let fixture = Fixture::new("2.11.1", "exit 1");
    let (code, printed) = fixture.start(&[]).end();
    assert_eq!(code, Ok(5), "{printed}");
    assert!(printed.contains("is QEMU 2.11, and at least") && printed.contains("hint: `xcluster doctor`"), "{printed}");
    assert!(fixture.nothing_is_left());
}

/// A folder with a file that no command may change, outside the runtime folder.
fn precious(fixture: &Fixture) -> PathBuf {
    let precious = fixture.path("precious");
    fs::create_dir_all(precious.join("sub")).unwrap();
    fs::write(precious.join("sub/a"), "x").unwrap();
    let private = fs::Permissions::from_mode(0o700);
    fs::create_dir_all(fixture.path("xcluster")).unwrap();
    fs::set_permissions(fixture.path("xcluster"), private).unwrap();
    precious
}

#[test]
fn no_command_follows_a_link_in_the_runtime_folder() {
    let fixture = Fixture::new("7.2.0", "exit 3");
    let precious = precious(&fixture);
    std::os::unix::fs::symlink(&precious, fixture.path("xcluster/other")).unwrap();
    let link = fixture.path("xcluster/other");
    let note = format!("note: `{}` is not a cluster's folder and stays: it is a symbolic link", link.display());
    let check = |printed: String| {
        assert!(printed.contains(&note), "{printed}");
        assert_eq!(fs::read_to_string(precious.join("sub/a")).unwrap(), "x");
        assert!(fixture.path("xcluster/other").is_symlink());
    };
    for (command, expected) in [
        (&["status", "--all"][..], 0),
        (&["stop", "--all"], 0),
        (&["status", "--name", "other"], 4),
        (&["status", "--name", "absent"], 4),
    ] {
        let (code, _, printed) = fixture.output(command);
        assert_eq!(code, Some(expected), "{command:?}: {printed}");
        check(printed);
    }
    let (code, printed) = fixture.start(&[]).end();
    assert_eq!(code, Ok(1), "{printed}");
    check(printed);
    let (code, printed) = fixture.start(&["--name", "other"]).end();
    assert_eq!(code, Ok(5), "{printed}");
    assert!(
        printed.contains("is not a cluster's folder: it is a symbolic link") && printed.contains("hint:"),
        "{printed}"
    );
}

#[test]
fn a_runtime_folder_that_is_not_private_is_refused_with_a_hint() {
    let fixture = Fixture::new("7.2.0", "exit 3");
    let precious = precious(&fixture);
    fs::set_permissions(fixture.path("xcluster"), fs::Permissions::from_mode(0o770)).unwrap();
    for command in [&["status"][..], &["status", "--all"], &["stop", "--all"], &["stop"]] {
        let (code, _, printed) = fixture.output(command);
        assert_eq!(code, Some(5), "{command:?}: {printed}");
        assert!(printed.contains("other users have access to it (mode 0770)"), "{printed}");
        assert!(printed.contains("hint: `chmod 0700 "), "{printed}");
    }
    fs::remove_dir(fixture.path("xcluster")).unwrap();
    std::os::unix::fs::symlink(&precious, fixture.path("xcluster")).unwrap();
    let (code, _, printed) = fixture.output(&["status", "--all"]);
    assert_eq!(code, Some(5), "{printed}");
    assert!(
        printed.contains("it is a symbolic link") && printed.contains("hint: `export XDG_RUNTIME_DIR"),
        "{printed}"
    );
    assert!(precious.join("sub/a").exists());
}

#[test]
fn a_mount_point_in_the_runtime_folder_is_left_alone() {
    let fixture = Fixture::new("7.2.0", HANGS);
    let (start, qemu) = fixture.start_that_hangs();
    kill(Pid::from_raw(fixture.owner()), Signal::SIGKILL).unwrap();
    fixture.no_qemu_runs(qemu);
    assert_eq!(start.end().0, Ok(1));
    let precious = precious(&fixture);
    // Within the folder that the dead owner has left, and on a folder that no cluster has made.
    for place in ["default/inner", "other"] {
        let private = fs::Permissions::from_mode(0o700);
        fs::create_dir(fixture.path("xcluster").join(place)).unwrap();
        fs::set_permissions(fixture.path("xcluster").join(place), private).unwrap();
        let script = "mount --bind \"$1\" \"$2\" && exec \"$3\" status --all";
        let place = fixture.path("xcluster").join(place);
        let args = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"];
        let mut command = fixture.command(&args);
        command.args([&precious, &place, Path::new(env!("CARGO_BIN_EXE_xcluster"))]);
        let Output { status, stderr, .. } = command.output().unwrap();
        let printed = String::from_utf8(stderr).unwrap();
        if printed.contains("unshare failed") {
            let lacking = format!("this host does not let users make namespaces: {printed}");
            return xcluster_core::test_run::skip("a_mount_point_in_the_runtime_folder_is_left_alone", lacking)
                .unwrap();
        }
        assert!(status.success() && printed.contains("it is a mount point"), "{printed}");
        assert_eq!(fs::read_to_string(precious.join("sub/a")).unwrap(), "x");
    }
}

#[test]
fn a_cluster_whose_folder_is_removed_ends_and_is_reported_until_then() {
    let fixture = Fixture::new("7.2.0", HANGS);
    for removed in ["xcluster", "xcluster/default", "xcluster/default/lock"] {
        let (start, qemu) = fixture.start_that_hangs();
        let owner = fixture.owner();
        // A stopped owner cannot notice the missing folder.
        kill(Pid::from_raw(owner), Signal::SIGSTOP).unwrap();
        let path = fixture.path(removed);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        for (command, expected) in [(&["status", "--all"][..], 1), (&["status"], 1)] {
            let (code, _, printed) = fixture.output(command);
            assert_eq!(code, Some(expected), "{removed} {command:?}: {printed}");
            let lost = format!(
                "the folder of cluster `default` was removed while it ran; its owner, process {owner}, ends it"
            );
            assert!(printed.contains(&lost), "{removed} {command:?}: {printed}");
        }
        kill(Pid::from_raw(owner), Signal::SIGCONT).unwrap();
        let command: &[&str] = if removed == "xcluster" { &["stop"] } else { &["stop", "--all"] };
        let (code, _, printed) = fixture.output(command);
        assert_eq!(code, Some(0), "{removed}: {printed}");
        fixture.no_qemu_runs(qemu);
        let (code, printed) = start.end();
        assert_eq!(code, Ok(1), "{removed}: {printed}");
        assert!(printed.contains("was removed"), "{removed}: {printed}");
        let (code, printed, _) = fixture.output(&["status", "--all", "--json"]);
        assert_eq!((code, printed.as_str()), (Some(0), "[]\n"), "{removed}");
        // Without its lock file, the folder has no owner.
        assert!(!fixture.path("xcluster/default").exists(), "{removed}");
    }
}
