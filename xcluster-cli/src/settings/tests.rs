//! Tests of the settings from args, variables and a file.

use clap::Parser;
use xcluster_core::name::{NetId, NodeId};

use super::*;
use crate::args::{Args, Command};
use crate::exit::Exit;

/// The settings of `start` with these args and variables.
fn settings<const N: usize>(args: &[&str], variables: [(&str, &str); N]) -> Result<Settings, Failure> {
    let args = ["xcluster", "start"].iter().chain(args);
    let Command::Start(args) = Args::try_parse_from(args).unwrap().command else {
        unreachable!("the command is `start`")
    };
    Settings::new(&args.cluster, &Variables::with(variables))
}

/// The messages of the failure of settings or a plan with these args and variables.
fn problems<const N: usize>(args: &[&str], variables: [(&str, &str); N]) -> String {
    let failure = settings(args, variables).and_then(|settings| settings.plan()).unwrap_err();
    assert_eq!(failure.exit, Exit::INVALID);
    failure.chain.join("\n")
}

fn node(settings: &Settings, number: u16) -> xcluster_core::topology::Node {
    let id = NodeId::new(number).unwrap();
    settings.topology.nodes().into_iter().find(|node| node.id == id).unwrap()
}

fn nets<const N: usize>(numbers: [u8; N]) -> Vec<NetId> {
    numbers.map(NetId::new).to_vec()
}

#[test]
fn no_args_mean_the_default_cluster() {
    let settings = settings(&[], []).unwrap();
    assert_eq!(settings.name.as_str(), "default");
    assert_eq!((settings.topology, settings.options), (Topology::default(), Options::default()));
}

#[test]
fn an_option_wins_over_a_variable_and_a_variable_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    std::fs::write(&file, "mtu = 1400\n[role.workers]\ncount = 7\nmemory = 200\n[role.routers]\ncount = 1\n").unwrap();
    let file = file.to_str().unwrap();
    let settings = settings(&["--topology", file, "--nvm", "2"], [("__nvm", "3"), ("__mem", "300")]).unwrap();
    assert_eq!(settings.topology.nodes().len(), 3);
    assert_eq!(node(&settings, 1).memory, 300);
    assert_eq!(settings.topology.mtu, 1400);
}

#[test]
fn every_option_of_the_topology_is_applied() {
    let args = "--nvm 2 --nrouters 1 --ntesters 1 --nets-vm 0,3,1 --nets-router 0,1,3,2 --nets-tester 0,2,4 --mem 1G \
                 --smp 3 --mtu 1400 --node 201:mem=384,nets=0,1,2,smp=4 --node vm-001:expose=80";
    let args: Vec<&str> = args.split_whitespace().chain(["--append", "-quiet console=x"]).collect();
    let settings = settings(&args, []).unwrap();
    assert_eq!(settings.topology.nodes().len(), 4);
    assert_eq!(node(&settings, 2).nets, nets([0, 3, 1]));
    assert_eq!(node(&settings, 221).nets, nets([0, 2, 4]));
    let router = node(&settings, 201);
    assert_eq!((router.memory, router.cpus, router.nets), (384, 4, nets([0, 1, 2])));
    let first = node(&settings, 1);
    assert_eq!((first.memory, first.cpus, first.expose), (1024, 3, vec![80]));
    assert_eq!(first.kernel_args, "-quiet console=x");
    assert_eq!(settings.topology.mtu, 1400);
}

#[test]
fn the_spelling_with_underscores_is_accepted() {
    let settings = settings(&["--nets_router", "0,1,2,3", "--nets_vm", "0,1,3"], []).unwrap();
    assert_eq!(node(&settings, 201).nets, nets([0, 1, 2, 3]));
    assert_eq!(node(&settings, 1).nets, nets([0, 1, 3]));
}

#[test]
fn every_variable_of_the_original_xcluster_is_applied() {
    let settings = settings(
        &[],
        [
            ("XCLUSTER_NAME", "lab"),
            ("__nvm", "1"),
            ("__nrouters", "1"),
            ("__ntesters", "1"),
            ("__nets_vm", "0,1,3"),
            ("__nets_router", "0,1,2,3"),
            ("__nets_tester", "0,2"),
            ("__nets221", "0,2,3"),
            ("__mem", "256"),
            ("__mem201", "512"),
            ("__mem202", "oops: another cluster's"),
            ("__smp", "1"),
            ("__smp1", "4"),
            ("__append", "quiet"),
            ("__append1", "debug"),
            ("__mtu", "9000"),
            ("__machine", "q35"),
            ("__kvm", "qemu-kvm"),
            ("__kvm_opt", "-cpu max  -s"),
            ("XCLUSTER_TELNET_BASE", "13000"),
        ],
    )
    .unwrap();
    assert_eq!(settings.name.as_str(), "lab");
    assert_eq!(settings.topology.nodes().len(), 3);
    let first = node(&settings, 1);
    assert_eq!((first.nets, first.memory, first.cpus), (nets([0, 1, 3]), 256, 4));
    assert_eq!(first.kernel_args, "debug");
    assert_eq!((node(&settings, 201).memory, node(&settings, 201).kernel_args.as_str()), (512, "quiet"));
    assert_eq!(node(&settings, 221).nets, nets([0, 2, 3]));
    assert_eq!((settings.topology.mtu, settings.options.machine.as_str()), (9000, "q35"));
    assert_eq!(settings.options.qemu.to_str(), Some("qemu-kvm"));
    assert_eq!(settings.options.qemu_args, ["-cpu", "max", "-s"]);
    assert_eq!(settings.topology.backends["user"]["telnet_base"], 13000);
}

#[test]
fn overlays_are_paths_or_names_in_the_overlay_path() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("second/iptools")).unwrap();
    let path = format!("{0}/first:{0}/second", folder.path().display());
    let found = folder.path().join("second/iptools");
    let by_variable = settings(&[], [("XCLUSTER_OVLPATH", &path), ("XOVLS", "iptools")]).unwrap();
    assert_eq!(by_variable.options.overlays, std::slice::from_ref(&found));
    let by_name = settings(&["--overlay", "iptools"], [("XCLUSTER_OVLPATH", &path), ("XOVLS", "nope")]).unwrap();
    assert_eq!(by_name.options.overlays, std::slice::from_ref(&found));
    let by_path = settings(&["--overlay", found.to_str().unwrap()], []).unwrap();
    assert_eq!(by_path.options.overlays, [found]);
    insta::assert_snapshot!(problems(&["--overlay", "nope"], [("XCLUSTER_OVLPATH", "/a:/b")]));
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_sources() {
    let args = ["--nvm", "201", "--mem", "lots", "--mtu", "70000", "--node", "1:ram=3", "--timeout", "soon"];
    let args = args.into_iter().chain(["--kernel", "/nonexistent/vmlinuz", "--ready", "maybe", "--name", "A/b"]);
    let args: Vec<&str> = args.collect();
    let variables = [("__smp", "many"), ("__nets1", "0,x"), ("__mem250", "1"), ("XCLUSTER_SSH_BASE", "70000")];
    insta::assert_snapshot!(problems(&args, variables));
}

#[test]
fn all_mistakes_of_the_topology_are_reported_at_once() {
    insta::assert_snapshot!(problems(&["--mtu", "1000", "--node", "9:mem=1", "--nets-vm", "1,1"], []));
    insta::assert_snapshot!(problems(&["--net", "warp"], []));
    insta::assert_snapshot!(problems(&["--nvm", "0", "--nrouters", "0"], []));
}

#[test]
fn all_mistakes_of_a_topology_file_are_reported_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        problems(&["--topology", file.to_str().unwrap()], []).replace(folder.path().to_str().unwrap(), "")
    };
    insta::assert_snapshot!(check("a.toml", "mtu = 1\n[role.workers]\ncont = 3\nmemory = \"a\"\n"));
    insta::assert_snapshot!(check("b", "{ \"mtu\": }"));
    assert!(check("c", "mtu = ").contains("line 1"));
    assert!(problems(&["--topology", "/nonexistent"], []).contains("No such file"));
    assert!(problems(&["--topology", "/dev/zero"], []).contains("larger than"));
}

#[test]
fn settings_survive_serialization_for_the_owner() {
    let args = ["--node", "201:mem=384,nets=0,1,2", "--ready", "console:login: ", "--timeout", "90", "--queues", "2"];
    let settings = settings(&args, [("XCLUSTER_MCAST_BASE", "130")]).unwrap();
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
}

#[test]
fn a_net_setup_script_is_the_default_backend() {
    let script = |args: &[&str], netns: &str| {
        let variables = [("__net_setup", "/opt/setup.sh"), ("__kvm", "/opt/kvm"), ("XCLUSTER_NETNS", netns)];
        let mut settings = settings(args, variables).unwrap();
        assert!(settings.choose_backend().unwrap().is_none());
        let script = settings.script.unwrap();
        assert_eq!((script.kvm.to_str(), script.folder), (Some("/opt/kvm"), std::env::current_dir().ok()));
        (settings.options.backend.unwrap(), script.script.display().to_string(), script.in_namespace)
    };
    assert_eq!(script(&[], ""), ("script".to_owned(), "/opt/setup.sh".to_owned(), false));
    assert_eq!(script(&["--net-setup", "mine"], "private"), ("script".to_owned(), "mine".to_owned(), true));
    assert_eq!(
        script(&["--net", "user", "--netns", "here"], ""),
        ("user".to_owned(), "/opt/setup.sh".to_owned(), true)
    );
    assert!(problems(&["--net", "script"], []).contains("add `--net-setup PROGRAM`"));
}

#[test]
fn options_win_over_the_files_settings_of_a_backend() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    std::fs::write(&file, "[backend.bridge]\nqueues = 4\nvhost = \"off\"\n[backend.user]\nssh_base = 20000\n").unwrap();
    let file = file.to_str().unwrap();
    let merged = |args: &[&str], variables: [(&str, &str); 1]| {
        let args: Vec<&str> = ["--topology", file].iter().chain(args).copied().collect();
        let settings = settings(&args, variables).unwrap();
        settings.plan().unwrap();
        serde_json::to_string(&settings.topology.backends).unwrap()
    };
    let nothing = [("XCLUSTER_SSH_BASE", "")];
    assert_eq!(merged(&[], nothing), r#"{"bridge":{"queues":4,"vhost":"off"},"user":{"ssh_base":20000}}"#);
    assert_eq!(
        merged(&["--queues", "2", "--set", "user.mcast_base=140"], [("XCLUSTER_SSH_BASE", "21000")]),
        r#"{"bridge":{"queues":2,"vhost":"off"},"user":{"mcast_base":140,"ssh_base":21000}}"#
    );
}

#[test]
fn all_unknown_settings_of_backends_are_reported_at_once() {
    let args =
        ["--set", "bridge.colour=red", "--set", "user.ssh_base=99999", "--set", "warp.speed=9", "--set", "bridge"];
    insta::assert_snapshot!(problems(&args[..6], []));
    insta::assert_snapshot!(problems(&args, []));
}

#[test]
fn the_network_namespace_comes_from_the_option_else_the_variable() {
    let netns = |args: &[&str], variable: &str| {
        settings(args, [("XCLUSTER_NETNS", variable)]).unwrap().options.netns.to_string()
    };
    assert_eq!(netns(&[], "here"), "here");
    assert_eq!(netns(&["--netns", "private"], "here"), "private");
    assert_eq!(netns(&["--netns", "alice_xcluster1"], ""), "alice_xcluster1");
    insta::assert_snapshot!(problems(&["--netns", "a/b", "--queues", "17"], []));
}

#[test]
fn the_default_backend_is_only_used_for_nets_without_one() {
    let chosen = |args: &[&str]| {
        let mut settings = settings(args, []).unwrap();
        let choice = settings.choose_backend().unwrap().map(|choice| choice.to_string());
        (settings.options.backend.unwrap_or_default(), choice)
    };
    assert_eq!(chosen(&["--net", "user"]), ("user".to_owned(), None));
    // Only the start checks whether it can be used there.
    let named = ("bridge".to_owned(), Some("bridge, in the network namespace `nowhere`".to_owned()));
    assert_eq!(chosen(&["--netns", "nowhere"]), named);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    let nets = "[net.0]\nbackend = \"user\"\n[net.1]\nbackend = \"user\"\n[net.2]\nbackend = \"user\"\n";
    std::fs::write(&file, nets).unwrap();
    assert_eq!(chosen(&["--topology", file.to_str().unwrap()]), (String::new(), None));
}
