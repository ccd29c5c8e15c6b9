//! The command as scripts meet it: exit codes, what goes to which stream, help, plans. Nothing here starts a VM.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

/// A folder for everything that the command keeps, and the command with an environment of its own.
struct Fixture {
    folder: TempDir,
}

/// How a command ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Fixture {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn xcluster(&self, args: &[&str]) -> Ended {
        self.with(args, [])
    }

    fn with<const N: usize>(&self, args: &[&str], variables: [(&str, &str); N]) -> Ended {
        let mut command = Command::cargo_bin("xcluster").unwrap();
        command.env_clear().envs(variables).env("XDG_RUNTIME_DIR", self.path()).env("HOME", self.path());
        let output = command.args(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Succeeds, says nothing on standard error, and prints what the snapshot holds.
macro_rules! assert_prints {
    ($ended:expr) => {
        let ended = $ended;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        insta::assert_snapshot!(ended.stdout);
    };
}

/// Fails with the code, prints nothing on standard output, and says what the snapshot holds.
macro_rules! assert_fails {
    ($ended:expr, $code:expr) => {
        let ended = $ended;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some($code), ""));
        insta::assert_snapshot!(ended.stderr);
    };
}

#[test]
fn the_plan_of_the_default_cluster() {
    let fixture = Fixture::new();
    assert_prints!(fixture.xcluster(&["plan", "--net", "user"]));
    assert_prints!(fixture.xcluster(&["plan", "--net", "user", "--nvm", "1", "--nrouters", "1", "--json"]));
}

#[test]
fn the_plan_of_five_nets() {
    let args = "plan --net user --name lab --nvm 2 --nrouters 2 --ntesters 1 --nets-vm 0,1,3,4 --nets_router 0,1,3,4,2 --mtu 9000 \
                 --node 201:mem=384,smp=4 --append quiet --no-login --no-configure --identity kernel --accel tcg";
    assert_prints!(Fixture::new().xcluster(&args.split_whitespace().collect::<Vec<_>>()));
}

#[test]
fn what_was_typed_is_kept_in_a_file_that_means_the_same() {
    let fixture = Fixture::new();
    let typed = ["--nvm", "2", "--nets-vm", "0,3,1", "--node", "201:mem=384", "--mtu", "1400"];
    let toml = fixture.xcluster(&[&["plan", "--toml"], typed.as_slice()].concat());
    let file = fixture.file("lab.toml", &toml.stdout);
    let from_file = fixture.xcluster(&["plan", "--net", "user", "--topology", &file]);
    assert_eq!(from_file.stdout, fixture.xcluster(&[&["plan", "--net", "user"], typed.as_slice()].concat()).stdout);
}

#[test]
fn the_schema_of_topology_files_is_json() {
    let schema: serde_json::Value =
        serde_json::from_str(&Fixture::new().xcluster(&["plan", "--schema"]).stdout).unwrap();
    assert!(schema["properties"]["mtu"].is_object(), "{schema}");
}

#[test]
fn the_plan_of_200_nodes_has_every_one() {
    let ended = Fixture::new().xcluster(&["plan", "--nvm", "200", "--nrouters", "20", "--ntesters", "20", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let names: Vec<&str> = plan["nodes"].as_array().unwrap().iter().filter_map(|node| node["name"].as_str()).collect();
    assert_eq!(names.len(), 240);
    assert_eq!((names[0], names[199], names[239]), ("vm-001", "vm-200", "vm-240"));
    let text = Fixture::new().xcluster(&["plan", "--net", "user", "--nvm", "200"]);
    assert!(text.stdout.contains("vm-200") && text.stderr.is_empty(), "{}", text.stderr);
}

#[test]
fn a_file_is_toml_or_json_by_name_or_by_content() {
    let fixture = Fixture::new();
    for (name, text) in [
        ("a.toml", "mtu = 1400"),
        ("a.json", r#"{ "mtu": 1400 }"#),
        ("a", r#"  { "mtu": 1400 }"#),
        ("b", "# a comment\nmtu = 1400"),
    ] {
        let ended = fixture.xcluster(&["plan", "--topology", &fixture.file(name, text)]);
        assert!(ended.stdout.contains("mtu  1400"), "{name}: {}", ended.stderr);
    }
}

#[test]
fn a_plan_is_the_same_for_root_and_without_qemu() {
    let fixture = Fixture::new();
    let plan = |path: &str| fixture.with(&["plan", "--net", "user"], [("PATH", path)]).stdout;
    assert_eq!(plan("/nonexistent"), plan("/usr/bin:/bin"));
}

#[test]
fn bad_input_is_reported_with_a_code_and_nothing_is_made() {
    let fixture = Fixture::new();
    assert_fails!(fixture.xcluster(&["start", "--nvm", "300", "--node", "7:nets=1", "--nets-vm", "0,x"]), 3);
    assert_fails!(fixture.xcluster(&["start", "--node", "7:nets=1", "--node", "2:nets=0,1,1", "--mtu", "100"]), 3);
    assert_fails!(fixture.xcluster(&["start", "--net", "warp"]), 3);
    assert_fails!(fixture.xcluster(&["start", "--name", "a/b"]), 3);
    assert_fails!(fixture.with(&["plan"], [("__nvm", "four"), ("XCLUSTER_TELNET_BASE", "99999")]), 3);
    assert_fails!(fixture.xcluster(&["start", "--nvm"]), 2);
    assert_fails!(fixture.xcluster(&["start", "--disk", "a", "--kernel", "b"]), 2);
    assert_fails!(fixture.xcluster(&["exec", "1", "true"]), 2);
    assert_fails!(fixture.xcluster(&["stat"]), 2);
    assert_eq!(fs::read_dir(fixture.path()).unwrap().count(), 0, "something was left");
}

#[test]
fn a_topology_with_several_mistakes_is_reported_with_their_lines() {
    let fixture = Fixture::new();
    let file = fixture.file("t.toml", "mtu = 70000\n[role.workers]\ncount = \"many\"\n[net.7]\nkind = \"internal\"\n");
    let ended = fixture.xcluster(&["start", "--topology", &file]);
    assert_eq!(ended.code, Some(3));
    insta::assert_snapshot!(ended.stderr.replace(fixture.path().to_str().unwrap(), "FOLDER"));
}

#[test]
fn a_cluster_that_does_not_run_is_told_by_every_command() {
    let fixture = Fixture::new();
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["stop"],
        &["console", "1"],
        &["vm", "1"],
        &["ssh", "1"],
        &["cp", "1:/a", "b"],
        &["connect", "1", "22"],
        &["forward", "0:1:22"],
        &["env", "--ports"],
    ] {
        let ended = fixture.xcluster(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""), "{args:?}");
        assert_eq!(
            ended.stderr, "error: no cluster named `default` is running\n\nhint: `xcluster start`\n",
            "{args:?}"
        );
    }
    // As ssh does, so that it is told apart from the command's own codes.
    assert_eq!(fixture.xcluster(&["exec", "1", "--", "true"]).code, Some(255));
    assert_fails!(fixture.with(&["status"], [("XCLUSTER_NAME", "lab")]), 4);
}

#[test]
fn all_of_no_clusters_is_nothing() {
    let fixture = Fixture::new();
    assert_prints!(fixture.xcluster(&["status", "--all", "--json"]));
    let stopped = fixture.xcluster(&["stop", "--all"]);
    assert_eq!((stopped.code, stopped.stdout.as_str(), stopped.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn a_start_without_qemu_says_so_and_leaves_nothing() {
    let fixture = Fixture::new();
    let ended =
        fixture.with(&["start", "--net", "user", "--qemu", "/nonexistent/qemu"], [("XDG_CACHE_HOME", "/nonexistent")]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(5), ""));
    insta::assert_snapshot!(ended.stderr);
    let left: Vec<_> = fs::read_dir(fixture.path().join("xcluster")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn copies_go_into_a_node_or_out_of_it() {
    // Before anything is asked of a cluster.
    assert_fails!(Fixture::new().xcluster(&["cp", "a", "b"]), 2);
    assert_fails!(Fixture::new().xcluster(&["cp", "1:/a", "2:/b"]), 2);
}

#[test]
fn a_plan_says_who_carries_the_nets_on_this_host() {
    let ended = Fixture::new().xcluster(&["plan", "--nvm", "1", "--nrouters", "0"]);
    let chosen = ended.stderr.strip_prefix("nets: ").and_then(|said| said.split([',', '\n']).next()).unwrap();
    assert!(ended.stdout.contains(&format!("backend {chosen}")), "{chosen}: {}", ended.stdout);
    // One that is named needs no words.
    let named = Fixture::new().xcluster(&["plan", "--net", chosen]);
    assert_eq!((named.code, named.stderr.as_str()), (Some(0), ""));
}

#[test]
fn jumbo_frames_fit_every_net_of_bridges() {
    let ended = Fixture::new().xcluster(&["plan", "--net", "bridge", "--mtu", "9000", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let nets: Vec<_> = plan["nets"].as_array().unwrap().iter().map(|net| (&net["mtu"], &net["backend"])).collect();
    assert_eq!(nets, [(&9000.into(), &"bridge".into()); 3]);
}

#[test]
fn bridges_where_they_cannot_be_are_reported_with_what_to_type() {
    assert_fails!(Fixture::new().xcluster(&["start", "--netns", "nowhere"]), 5);
}

#[test]
fn a_forward_that_cannot_be_read_is_reported_before_anything_is_asked() {
    assert_fails!(Fixture::new().xcluster(&["forward", "80", "8080:1:80", "x:1:1"]), 2);
}

#[test]
fn a_namespace_that_is_not_there_is_reported() {
    let fixture = Fixture::new();
    assert_fails!(fixture.xcluster(&["nsenter", "nowhere", "true"]), 4);
    let numbered = fixture.xcluster(&["nsenter", "200", "true"]);
    assert_eq!(numbered.code, Some(4));
    assert!(numbered.stderr.ends_with("\n\nhint: `sudo xcluster nsadd 200`\n"), "{}", numbered.stderr);
}

#[test]
fn nobody_who_reads_is_no_panic() {
    let fixture = Fixture::new();
    let xcluster = assert_cmd::cargo::cargo_bin("xcluster");
    let line = format!("{{ {} plan --net user --nvm 200; echo $? >&2; }} | head -c 1", xcluster.display());
    let output = std::process::Command::new("sh").args(["-c", &line]).env("HOME", fixture.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "141\n");
}

#[test]
fn the_owner_is_no_command_for_people() {
    let ended = Fixture::new().xcluster(&["owner", "default"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(!Fixture::new().xcluster(&["--help"]).stdout.contains("owner  "));
}

#[test]
fn env_shows_values_and_meanings() {
    let ended = Fixture::new().with(&["env"], [("__nvm", "3"), ("__mem201", "512"), ("XOVLS", "")]);
    assert_eq!(ended.code, Some(0));
    for line in ["__nvm                 3 ", "__mem201              512 ", "XOVLS                 - "] {
        assert!(ended.stdout.contains(line), "{line}: {}", ended.stdout);
    }
    let json = Fixture::new().with(&["env", "--json"], [("__nvm", "3")]).stdout;
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(rows.as_array().unwrap().iter().any(|row| row["name"] == "__nvm" && row["value"] == "3"));
}

#[test]
fn doctor_says_what_is_missing() {
    let fixture = Fixture::new();
    let ended = fixture.with(&["doctor", "--json"], [("PATH", "/nonexistent")]);
    assert_eq!(ended.code, Some(5));
    let checks: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let qemu = &checks[0];
    assert_eq!((&qemu["what"], &qemu["verdict"]), (&"QEMU".into(), &"bad".into()));
    assert_eq!(qemu["fix"], "sudo apt-get install --no-install-recommends qemu-system-x86");
}

#[test]
fn completions_and_man_pages_cover_every_command() {
    let fixture = Fixture::new();
    let pages = fixture.path().join("man");
    let ended = fixture.xcluster(&["man", pages.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0));
    let commands: Vec<String> = visible_commands().iter().map(|command| command.get_name().to_owned()).collect();
    for name in &commands {
        let page = fs::read_to_string(pages.join(format!("xcluster-{name}.1"))).unwrap();
        assert!(page.contains(".TH"), "{name}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = fixture.xcluster(&["completions", shell]).stdout;
        for name in &commands {
            assert!(script.contains(name.as_str()), "{shell} does not know {name}");
        }
    }
}

#[test]
fn help_is_what_it_was() {
    let fixture = Fixture::new();
    assert_prints!(fixture.xcluster(&["--help"]));
    for command in visible_commands() {
        let name = command.get_name();
        let ended = fixture.xcluster(&[name, "--help"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        insta::assert_snapshot!(format!("help_{name}"), ended.stdout);
    }
}

#[test]
fn the_original_xclusters_names_are_aliases() {
    let fixture = Fixture::new();
    for (alias, name) in [("starts", "start"), ("rsh", "ssh"), ("rcp", "cp")] {
        assert_eq!(fixture.xcluster(&[alias, "--help"]).code, Some(0), "{alias}");
        let first = |arg: &str| fixture.xcluster(&[arg, "--help"]).stdout.lines().next().map(str::to_owned);
        assert_eq!(first(alias), first(name));
    }
}

/// The documentation is of this command line: each command has a section, which names each of its options.
#[test]
fn every_command_and_option_is_documented() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md")).unwrap();
    let mut missing = Vec::new();
    for command in visible_commands() {
        let name = command.get_name().to_owned();
        let Some(section) = section(&text, &name) else {
            missing.push(name);
            continue;
        };
        let options = command.get_arguments().filter_map(|argument| argument.get_long());
        // Told once, before the commands.
        let common = ["help", "version", "verbose", "name"];
        missing.extend(
            options
                .filter(|option| !common.contains(option) && !section.contains(&format!("`--{option}")))
                .map(|option| format!("{name} --{option}")),
        );
    }
    assert!(missing.is_empty(), "docs/cli.md lacks: {}", missing.join(", "));
}

#[test]
fn every_exit_code_is_documented() {
    let help = Fixture::new().xcluster(&["--help"]).stdout;
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md")).unwrap();
    let codes = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    for line in codes {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(text.contains(&format!("| {code} | {meaning} |")), "{code}: {meaning}");
    }
}

fn visible_commands() -> Vec<clap::Command> {
    let command = xcluster_cli::command();
    command.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect()
}

/// What is said of a command. `plan` takes the options of `start`, which are told there.
fn section(text: &str, name: &str) -> Option<String> {
    let of = |name: &str| {
        let from = text.find(&format!("\n## {name}\n"))?;
        let rest = &text[from + 1..];
        Some(rest.find("\n## ").map_or(rest, |end| &rest[..end]))
    };
    let own = of(name)?;
    Some(if name == "plan" { format!("{own}{}", of("start")?) } else { own.to_owned() })
}
