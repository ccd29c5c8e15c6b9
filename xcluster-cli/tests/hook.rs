//! Commands of a user's own: those of his hook, and programs on the path. What starts VMs is in `own_start.rs`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_xcluster");

/// A folder with a hook, and the command with an environment of its own.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new(hook: &str) -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(fixture.path("hook"), hook).unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).env_clear().env("HOME", self.folder.path()).env("XDG_RUNTIME_DIR", self.folder.path());
        command
            .env("PATH", format!("{}:/usr/bin:/bin", self.folder.path().display()))
            .env("XCLUSTER_HOOK", self.path("hook"));
        command
    }

    fn runs(&self, args: &[&str]) -> (Option<i32>, String, String) {
        said(&self.command(args).stdin(Stdio::null()).output().unwrap())
    }

    /// Succeeds and says this on standard output.
    fn prints(&self, args: &[&str], expected: &str) {
        let (code, stdout, stderr) = self.runs(args);
        assert_eq!((code, stdout.as_str()), (Some(0), expected), "{args:?}: {stderr}");
    }
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_hooks_command_has_its_args_its_input_and_its_code() {
    let fixture = Fixture::new(
        "cmd_words() { for w; do echo \"<$w>\"; done; return 7; }\ncmd_cat() { cat; }\ncmd_two_words() { echo 2; }\n",
    );
    let (code, stdout, _) = fixture.runs(&["words", "a b", "", "--help", "-x", "--nvm", "3"]);
    assert_eq!((code, stdout.as_str()), (Some(7), "<a b>\n<>\n<--help>\n<-x>\n<--nvm>\n<3>\n"));
    let mut cat = fixture.command(&["cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    cat.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    assert_eq!(said(&cat.wait_with_output().unwrap()).1, "typed\n");
    fixture.prints(&["two-words"], "2\n");
}

#[test]
fn a_hook_finds_the_variables_as_they_are_resolved() {
    let fixture = Fixture::new(
        "cmd_show() { echo $__nvm $__nrouters $__ntesters $__nets_vm $__nets_router $__mem $__smp $__mtu $XCLUSTER_NAME; }\n",
    );
    fixture.prints(&["show"], "4 2 0 0,1 0,1,2 128 2 1500 default\n");
    fixture
        .prints(&["show", "--nvm=1", "--nets_vm=0,3", "--name=lab", "--mem=1G"], "1 2 0 0,3 0,1,2 1024 2 1500 lab\n");
    let output = fixture.command(&["show"]).env("__nrouters", "0").env("XCLUSTER_NAME", "env").output().unwrap();
    assert_eq!(said(&output).1, "4 0 0 0,1 0,1,2 128 2 1500 env\n");
    let (code, _, stderr) = fixture.runs(&["show", "--nvm=many"]);
    assert_eq!(code, Some(3));
    assert!(stderr.contains("__nvm: `many` is not a number"), "{stderr}");
}

#[test]
fn prepare_comes_before_every_command_and_what_it_sets_counts() {
    let fixture = Fixture::new(
        "__mem2=512\nprepare() { log preparing $__nvm; __nvm=2; export __nrouters=0; }\ncmd_own() { echo $__nvm; }\n",
    );
    fixture.prints(&["own"], "2\n");
    let (code, stdout, stderr) = fixture.runs(&["plan", "--net", "user", "--json"]);
    assert_eq!((code, stderr.as_str()), (Some(0), "preparing 4\n"));
    let plan: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let memory: Vec<_> = plan["nodes"].as_array().unwrap().iter().map(|node| &node["memory"]).collect();
    assert_eq!(memory, [&serde_json::json!(128), &serde_json::json!(512)]);
    // Also for what a command calls, and within a shell that is strict.
    let strict = "set -eu\n__append='a  b'\ncmd_own() { \"$XCLUSTER\" plan --net user --nvm 1 --nrouters 0 | grep -c 'arguments: a  b'; }\n";
    Fixture::new(strict).prints(&["own"], "1\n");
    // What was typed wins over both.
    assert!(fixture.runs(&["plan", "--net", "user", "--nvm", "1"]).1.starts_with("cluster default: 1 nodes"));
}

#[test]
fn a_prepare_that_fails_ends_the_command() {
    let fixture = Fixture::new("prepare() { return 9; }\ncmd_own() { echo done; }\n");
    for args in [&["own"][..], &["plan", "--net", "user"]] {
        let (code, stdout, _) = fixture.runs(args);
        assert_eq!((code, stdout.as_str()), (Some(9), ""), "{args:?}");
    }
}

#[test]
fn a_hook_replaces_a_command_of_ours_and_calls_it() {
    let fixture = Fixture::new(
        "prepare() { echo preparing >&2; }\ncmd_plan() { \"$XCLUSTER\" plan --net user \"$@\" | head -n 1; }\n",
    );
    let (code, stdout, stderr) = fixture.runs(&["plan", "--nvm", "3"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "cluster default: 5 nodes, 640 MiB of memory\n"));
    // Also what it finds on the path is the program itself, without the hook.
    assert_eq!(stderr, "preparing\n");
    std::os::unix::fs::symlink(PROGRAM, fixture.path("xcluster")).unwrap();
    fs::write(fixture.path("hook"), "cmd_plan() { xcluster plan --net user \"$@\"; }\n").unwrap();
    assert!(fixture.runs(&["plan", "--nvm", "3"]).1.starts_with("cluster default: 5 nodes"));
}

#[test]
fn args_of_ours_in_a_hook_find_their_commands() {
    let fixture = Fixture::new(
        "cmd_own() { cmd_status; echo $?; cmd_stop; echo $?; cmd_env | head -n 1; cmd_start --nvm 300; }\n",
    );
    let (code, stdout, stderr) = fixture.runs(&["own"]);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!((code, &lines[..2]), (Some(3), &["4", "4"][..]));
    assert!(lines[2].starts_with("VARIABLE"), "{stdout}");
    assert!(
        stderr.contains("no cluster named `default` is running") && stderr.contains("300 workers are too many"),
        "{stderr}"
    );
}

#[test]
fn die_ends_a_command_with_a_reason_and_log_does_not() {
    let fixture = Fixture::new("cmd_own() { log one two; die 'that is it'; echo never; }\n");
    assert_eq!(fixture.runs(&["own"]), (Some(1), String::new(), "one two\nerror: that is it\n".to_owned()));
}

#[test]
fn a_hook_for_bash_is_run_by_bash() {
    let fixture =
        Fixture::new("#!/usr/bin/env bash\ncmd_own() { local a=(x y z); [[ ${a[1]} == y ]] && echo ${#a[@]}; }\n");
    fixture.prints(&["own"], "3\n");
}

#[test]
fn help_needs_no_hook() {
    let fixture = Fixture::new("if\n");
    for args in [&["--help"][..], &["help", "start"], &["start", "--help"], &["--version"], &["completions", "bash"]] {
        assert_eq!(fixture.runs(args).0, Some(0), "{args:?}");
    }
    assert_eq!(fixture.runs(&["status"]).0, Some(3));
}

#[test]
fn hooks_that_cannot_be_used_are_reported() {
    let fixture = Fixture::new("if\n");
    // In the words of the host's shell.
    let (code, _, stderr) = fixture.runs(&["status"]);
    assert_eq!(code, Some(3));
    assert!(stderr.contains("cannot use the hook") && stderr.to_lowercase().contains("syntax error"), "{stderr}");
    let mut reported = String::new();
    let mut tell = |what: &str| {
        let (code, stdout, stderr) = fixture.runs(&["status"]);
        assert_eq!((code, stdout.as_str()), (Some(3), ""), "{what}");
        reported.push_str(&format!("{what}:\n{}\n", stderr.replace(fixture.folder.path().to_str().unwrap(), "FOLDER")));
    };
    fs::write(fixture.path("hook"), "").unwrap();
    fs::set_permissions(fixture.path("hook"), fs::Permissions::from_mode(0o666)).unwrap();
    tell("everybody's");
    fs::remove_file(fixture.path("hook")).unwrap();
    tell("absent");
    fs::create_dir(fixture.path("hook")).unwrap();
    tell("a folder");
    insta::assert_snapshot!(reported);
}

#[test]
fn an_interrupt_ends_a_hooks_command_also_if_what_it_called_ends_in_order() {
    for shell in ["sh", "bash"] {
        let fixture = Fixture::new(&format!(
            "#!/bin/{shell}\ncmd_own() {{ sh -c 'trap \"exit 0\" INT; echo waiting; cat'; echo went on; }}\n"
        ));
        let mut command = fixture.command(&["own"]);
        let mut own = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(own.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "waiting\n");
        killpg(Pid::from_raw(own.id().cast_signed()), Signal::SIGINT).unwrap();
        assert_eq!(own.wait().unwrap().code(), Some(130), "{shell}");
        line.clear();
        stdout.read_to_string(&mut line).unwrap();
        assert_eq!(line, "", "{shell}");
    }
}

#[test]
fn a_program_on_the_path_is_a_command() {
    let fixture = Fixture::new("");
    fixture.program(
        "xcluster-hello",
        "#!/bin/sh\necho \"$XCLUSTER_NAME\" \"$@\"\n[ -x \"$XCLUSTER\" ] || echo \"no $XCLUSTER\"\nexit 9\n",
    );
    for hook in ["", "/nonexistent/none"] {
        let mut command = fixture.command(&["-v", "hello", "a b", "--help"]);
        if hook.is_empty() {
            command.env_remove("XCLUSTER_HOOK");
        } else {
            fs::write(fixture.path("hook"), "").unwrap();
        }
        let (code, stdout, stderr) = said(&command.output().unwrap());
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(9), "default a b --help\n", ""), "{hook}");
    }
}

#[test]
fn a_hook_and_the_program_itself_come_before_programs_on_the_path() {
    let fixture = Fixture::new("cmd_hello() { echo hook; }\n");
    fixture.program("xcluster-hello", "#!/bin/sh\necho path\n");
    fixture.program("xcluster-env", "#!/bin/sh\necho path\n");
    fixture.prints(&["hello"], "hook\n");
    assert!(fixture.runs(&["env"]).1.starts_with("VARIABLE"));
    // The program may call the hook's again.
    fixture.program("xcluster-again", "#!/bin/sh\n\"$XCLUSTER\" hello\n");
    fixture.prints(&["again"], "hook\n");
}

#[test]
fn what_nobody_has_is_reported_with_the_ways_to_have_it() {
    let fixture = Fixture::new("");
    fixture.program("xcluster-stat", "#!/bin/sh\n");
    fs::set_permissions(fixture.path("xcluster-stat"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, stdout, stderr) = fixture.runs(&["stat", "x"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("some similar subcommands exist"), "{stderr}");
    assert!(
        stderr.contains("`cmd_stat` in the file that XCLUSTER_HOOK names, or a program `xcluster-stat`"),
        "{stderr}"
    );
    assert_eq!(fixture.runs(&["../xcluster-hello"]).0, Some(2));
}

#[test]
fn lists_with_separators_of_the_hooks_own_harm_nobody() {
    let fixture =
        Fixture::new("IFS=,\ncmd_first() { __mem=300; for net in 7,8; do log \"$net\"; done; cmd_env --json; }\n");
    let (code, stdout, stderr) = fixture.runs(&["first"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("\"300\""), "{stdout}");
}

#[test]
fn a_wrong_variable_keeps_nobody_from_asking_for_a_cluster_or_stopping_it() {
    let fixture = Fixture::new("cmd_mine() { :; }\n");
    let run = |arg: &str| said(&fixture.command(&[arg]).env("__mem", "abc").output().unwrap());
    let (code, _, stderr) = run("status");
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("__mem") && stderr.contains("the hook is not read"), "{stderr}");
    assert_eq!(run("mine").0, Some(3));
}
