//! Rules that the compiler does not check: which modules are pure, and which module may use which.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules, lowest first. A module may use those before it and itself; `docs/architecture.md` says why.
const MODULES: &[&[&str]] = &[
    &["name", "error_chain"],
    &["addr"],
    &["topology"],
    &["host"],
    // The backend API names what the host lends to a backend, and does nothing with it.
    &["net"],
    &["plan"],
    &["qemu", "guest"],
    &["external"],
    &["cluster"],
    &["blocking"],
    &["testing"],
];

/// Modules that touch nothing: no file, clock, environment, randomness or process.
const PURE: &[&str] = &[
    "name",
    "error_chain",
    "addr",
    "topology",
    "net",
    "plan",
    "guest/topology_overlay.rs",
    "qemu/command.rs",
    "external/script/qemu_args.rs",
    "external/plugin/abi.rs",
    "external/plugin/message.rs",
    "external/plugin/reply.rs",
];

/// Where unsafe code is expected: what happens between fork and exec, descriptors that the kernel has just opened, what only an
/// ioctl does, and both sides of the boundary to plugins, which is one of C.
const UNSAFE: &[&str] = &[
    "host/namespace",
    "host/process_tree",
    "host/fd_passing.rs",
    "host/tap.rs",
    "host/netlink",
    "external/plugin/host.rs",
    "external/plugin/instance.rs",
    "external/plugin/load.rs",
    "external/plugin/tokens.rs",
    "external/plugin/export/host_client.rs",
    "external/plugin/export/mod.rs",
];

/// What touches something.
const EFFECTS: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::unix::net",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio::",
    "nix::",
    "tempfile::",
    "File::open",
    "Instant::now",
    "SystemTime::now",
    "println!",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file of a module, with its text up to its tests.
fn files(module: &Path) -> Vec<(PathBuf, String)> {
    if module.is_dir() {
        let entries = fs::read_dir(module).unwrap().map(|entry| entry.unwrap().path());
        return entries.filter(|path| path.is_dir() || is_rust(path)).flat_map(|path| files(&path)).collect();
    }
    let path = if module.exists() { module.to_owned() } else { module.with_extension("rs") };
    if path.file_stem().is_some_and(|stem| stem == "tests") || module.ends_with("tests") {
        return Vec::new();
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
    vec![(path, text)]
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Lines that are code, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())).filter(|(_, line)| !line.starts_with("//"))
}

#[test]
fn everything_up_to_the_plan_is_pure() {
    let mut violations = Vec::new();
    for module in PURE {
        for (path, text) in files(&source().join(module)) {
            for (number, line) in code(&text) {
                if let Some(effect) = EFFECTS.iter().find(|effect| line.contains(**effect)) {
                    violations.push(format!("{}:{number}: {effect}", path.display()));
                }
            }
        }
    }
    assert!(violations.is_empty(), "pure modules have effects:\n{}", violations.join("\n"));
}

#[test]
fn modules_use_only_modules_below_them() {
    let mut violations = Vec::new();
    for (height, modules) in MODULES.iter().enumerate() {
        let above: Vec<&str> = MODULES[height + 1..].concat();
        for module in modules.iter().filter(|module| exists(module)) {
            for (path, text) in files(&source().join(module)) {
                for (number, line) in code(&text) {
                    let uses_higher = |higher: &&&str| line.contains(&format!("crate::{higher}::"));
                    if let Some(higher) = above.iter().find(uses_higher) {
                        violations.push(format!("{}:{number}: uses `{higher}`", path.display()));
                    }
                }
            }
        }
    }
    assert!(violations.is_empty(), "modules use modules above them:\n{}", violations.join("\n"));
}

#[test]
fn every_module_is_in_the_order() {
    for entry in fs::read_dir(source()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let known = MODULES.iter().any(|modules| modules.contains(&name.as_str()));
        assert!(known || name == "lib", "`{name}` has no place in the order of modules");
    }
}

fn exists(module: &str) -> bool {
    let path = source().join(module);
    path.is_dir() || path.with_extension("rs").exists()
}

#[test]
fn unsafe_code_is_only_where_it_is_expected() {
    for (path, text) in files(&source()) {
        if UNSAFE.iter().any(|module| path.starts_with(source().join(module))) {
            continue;
        }
        for (number, line) in code(&text) {
            assert!(!line.contains("unsafe {"), "{}:{number}: unsafe code where none is expected", path.display());
        }
    }
}

#[test]
fn async_runtimes_and_netlink_stay_out_of_the_backend_api() {
    for (path, text) in files(&source().join("net")) {
        for (number, line) in code(&text) {
            for foreign in ["tokio", "rtnetlink", "netlink_", "nix"] {
                assert!(!line.contains(foreign), "{}:{number}: `{foreign}` in the backend API", path.display());
            }
        }
    }
}
