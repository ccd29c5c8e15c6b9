//! The command with plugins: lists, errors, and VMs that communicate over one. The plugin is the example in C.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with the compiled example, which is also the runtime folder.
struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut cc = Command::new("sh");
        cc.args(["-c", "umask 022 && exec cc \"$@\"", "cc", "-std=gnu11", "-O1", "-fPIC", "-shared", "-pthread", "-I"]);
        cc.arg(root.join("xcluster-core/include"))
            .arg("-o")
            .arg(fixture.library())
            .arg(root.join("examples/plugin-c/switch.c"));
        let output = cc.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fixture
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("libxcluster_net_c_switch.so")
    }

    /// A further file in this folder, which only the user can write to.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn xcluster(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xcluster"));
        command.args(args).env("XDG_RUNTIME_DIR", self.folder.path()).env("XCLUSTER_NAME", "plugged");
        command.env("XCLUSTER_PLUGINS", self.folder.path()).output().unwrap()
    }

    /// The standard output of a command that succeeds.
    fn stdout(&self, args: &[&str]) -> String {
        let output = self.xcluster(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The command fails with this code and these texts.
    fn fails(&self, args: &[&str], code: i32, expected: &[&str]) {
        let output = self.xcluster(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        for expected in expected {
            assert!(stderr.contains(expected), "{args:?}: `{expected}` is missing in: {stderr}");
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // This fails if the cluster is already stopped.
        drop(self.xcluster(&["stop"]));
    }
}

#[test]
fn plugins_are_listed_with_their_capabilities_or_their_error() {
    let fixture = Fixture::new();
    fixture.file("libxcluster_net_text.so", b"text");
    let listed = fixture.stdout(&["plugins"]);
    assert!(listed.contains("c-switch  1.0      "), "{listed}");
    assert!(listed.contains("a switch, MTU up to 9000"), "{listed}");
    assert!(listed.contains("it does not begin as an ELF file"), "{listed}");
    let listed: serde_json::Value = serde_json::from_str(&fixture.stdout(&["plugins", "--json"])).unwrap();
    assert_eq!(listed[0]["name"], "c-switch");
    assert_eq!(listed[0]["capabilities"]["internal"]["vm_to_vm"], "switch");
    assert_eq!((&listed[1]["name"], &listed[1]["version"]), (&"text".into(), &serde_json::Value::Null));
    assert!(listed[1]["error"].as_str().unwrap().contains("is not a plugin for this xcluster"));
}

#[test]
fn a_plugin_is_found_by_the_name_of_its_backend() {
    let fixture = Fixture::new();
    for args in [
        &["plan", "--net", "c-switch"][..],
        &["plan", "--plugin", "c-switch", "--net", "c-switch"],
        &["plan", "--plugin", fixture.library().to_str().unwrap(), "--net", "c-switch"],
    ] {
        let plan = fixture.stdout(args);
        assert!(plan.contains("c-switch"), "{plan}");
    }
    let topology = fixture.file("lab.toml", b"[net.1]\nbackend = \"c-switch\"\n");
    let plan = fixture.stdout(&["plan", "--net", "user", "--topology", &topology]);
    assert!(plan.contains("c-switch") && plan.contains("user"), "{plan}");
}

#[test]
fn an_unusable_plugin_is_reported_with_an_exit_code() {
    let fixture = Fixture::new();
    let library = fixture.library();
    let path = library.to_str().unwrap();
    fixture.fails(
        &["plan", "--plugin", "/nonexistent/x.so"],
        3,
        &["cannot open plugin `/nonexistent/x.so`", "No such file"],
    );
    fixture.fails(&["plan", "--plugin", "rope"], 3, &["there is no plugin `rope`", "there is `c-switch`"]);
    fixture.fails(&["plan", "--plugin", "Rope"], 3, &["`Rope` is not the name of a plugin"]);
    fixture.fails(&["plan", "--net", "rope"], 3, &["there is no backend `rope`", "`--plugin PATH` loads a file"]);
    fixture.fails(&["plan", "--plugin", path, "--plugin", path], 3, &["there are two backends named `c-switch`"]);
    let text = fixture.file("text.so", b"text");
    fixture.fails(&["start", "--plugin", &text], 5, &["is not a plugin for this xcluster: it is no library"]);
    fixture.fails(&["plan", "--plugin", fixture.folder.path().to_str().unwrap()], 5, &["it is a folder"]);
    fixture.fails(
        &["plan", "--net", "c-switch", "--set", "c-switch.colour=red"],
        3,
        &["backend.c-switch", "has no settings"],
    );
    let wide = fixture.file("wide.toml", b"[net.1]\nmtu = 9001\n");
    fixture.fails(&["plan", "--net", "c-switch", "--topology", &wide], 3, &["net.1.mtu", "9000"]);
    fs::set_permissions(&library, fs::Permissions::from_mode(0o666)).unwrap();
    let hint = format!("hint: `chmod go-w {path}`");
    fixture.fails(&["plan", "--net", "c-switch"], 5, &["is not safe to load: others can write to `", &hint]);
}

#[test]
fn real_vms_communicate_over_a_plugin() {
    let fixture = Fixture::new();
    let library = fixture.library();
    let args = ["start", "--plugin", library.to_str().unwrap(), "--net", "c-switch", "--nvm", "2", "--nrouters", "0"];
    fixture.stdout(&args);
    let status: serde_json::Value = serde_json::from_str(&fixture.stdout(&["status", "--json"])).unwrap();
    assert_eq!(status["nets"][1]["backend"], "c-switch");
    for address in ["192.168.0.2", "192.168.1.2", "1000::1:192.168.1.2"] {
        let answered = fixture.stdout(&["exec", "1", "--", "ping", "-c", "3", "-W", "10", address]);
        assert!(answered.contains(" 0% packet loss"), "{address}: {answered}");
    }
    let folder = PathBuf::from(status["folder"].as_str().unwrap());
    fixture.stdout(&["stop"]);
    assert!(!folder.exists(), "`{}` still exists", folder.display());
}
