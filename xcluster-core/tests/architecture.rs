//! The rules of the house that a compiler does not know: which rooms are pure, and which room may look into which.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, lowest first. A room may use those before it and itself; `docs/architecture.md` says why.
const ROOMS: &[&[&str]] = &[
    &["name"],
    &["addr"],
    &["topology"],
    &["host"],
    // The seam names what the host lends to a backend, and does nothing with it.
    &["net"],
    &["plan"],
    &["qemu", "guest"],
    &["external"],
    &["cluster"],
    &["blocking", "remote"],
    &["testing"],
];

/// Rooms that touch nothing: no file, clock, environment, randomness or process.
const PURE: &[&str] = &[
    "name",
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

/// Every source file of a room, with its text up to its tests.
fn files(room: &Path) -> Vec<(PathBuf, String)> {
    if room.is_dir() {
        let entries = fs::read_dir(room).unwrap().map(|entry| entry.unwrap().path());
        return entries.filter(|path| path.is_dir() || is_rust(path)).flat_map(|path| files(&path)).collect();
    }
    let path = if room.exists() { room.to_owned() } else { room.with_extension("rs") };
    if path.file_stem().is_some_and(|stem| stem == "tests") || room.ends_with("tests") {
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
    let mut sins = Vec::new();
    for room in PURE {
        for (path, text) in files(&source().join(room)) {
            for (number, line) in code(&text) {
                if let Some(effect) = EFFECTS.iter().find(|effect| line.contains(**effect)) {
                    sins.push(format!("{}:{number}: {effect}", path.display()));
                }
            }
        }
    }
    assert!(sins.is_empty(), "pure rooms touch the world:\n{}", sins.join("\n"));
}

#[test]
fn rooms_only_look_at_rooms_below_them() {
    let mut sins = Vec::new();
    for (height, rooms) in ROOMS.iter().enumerate() {
        let above: Vec<&str> = ROOMS[height + 1..].concat();
        for room in rooms.iter().filter(|room| exists(room)) {
            for (path, text) in files(&source().join(room)) {
                for (number, line) in code(&text) {
                    let looks_up = |higher: &&&str| line.contains(&format!("crate::{higher}::"));
                    if let Some(higher) = above.iter().find(looks_up) {
                        sins.push(format!("{}:{number}: looks up at `{higher}`", path.display()));
                    }
                }
            }
        }
    }
    assert!(sins.is_empty(), "rooms look up:\n{}", sins.join("\n"));
}

#[test]
fn every_room_has_its_place() {
    for entry in fs::read_dir(source()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let known = ROOMS.iter().any(|rooms| rooms.contains(&name.as_str()));
        assert!(known || name == "lib", "`{name}` has no place in the order of rooms");
    }
}

fn exists(room: &str) -> bool {
    let path = source().join(room);
    path.is_dir() || path.with_extension("rs").exists()
}

#[test]
fn unsafe_code_is_only_where_it_is_expected() {
    for (path, text) in files(&source()) {
        if UNSAFE.iter().any(|room| path.starts_with(source().join(room))) {
            continue;
        }
        for (number, line) in code(&text) {
            assert!(!line.contains("unsafe {"), "{}:{number}: unsafe code outside of its rooms", path.display());
        }
    }
}

#[test]
fn async_runtimes_and_netlink_stay_out_of_the_seam() {
    for (path, text) in files(&source().join("net")) {
        for (number, line) in code(&text) {
            for foreign in ["tokio", "rtnetlink", "netlink", "nix"] {
                assert!(!line.contains(foreign), "{}:{number}: `{foreign}` in the seam", path.display());
            }
        }
    }
}
