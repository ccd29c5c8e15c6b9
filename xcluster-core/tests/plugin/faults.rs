//! All faults of a plugin are reported, and this process goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use xcluster_core::net::{NetBackend, NetError};
use xcluster_core::testing::harness::Test;
use xcluster_core::testing::{TestFailure, ensure};

use super::fixture::{Fixture, SOON, error_text, faulty, load, port};
use super::named;

pub(crate) fn tests() -> Vec<Test> {
    named![
        a_file_that_is_not_a_plugin_is_reported,
        a_faulty_table_is_reported,
        a_plugin_that_makes_no_instance_is_reported,
        a_faulty_reply_is_reported,
        a_setup_that_makes_no_sense_is_reported,
        a_plugins_own_errors_keep_their_kind,
        a_plugin_that_others_can_change_is_not_loaded,
    ]
}

/// The deadline for a plugin that hangs.
const IMPATIENT: Duration = Duration::from_millis(200);

fn contains(said: &str, expected: &str) -> Result<(), TestFailure> {
    ensure(said.contains(expected), || format!("`{expected}` is expected, and it says: {said}"))
}

/// A library that is compiled with these flags is refused for this reason.
fn check_load(deadline: Duration, flags: &[&str], expected: &str) -> Result<(), TestFailure> {
    let (_folder, library) = faulty(flags)?;
    match load(&library, deadline) {
        Ok(plugin) => Err(TestFailure::new(format!("{flags:?}: it is loaded: {plugin:?}"))),
        Err(error) => contains(&error_text(&error), expected).map_err(|failed| failed.during(format!("{flags:?}"))),
    }
}

fn check_file(make: impl FnOnce(&Path) -> std::io::Result<()>, expected: &str) -> Result<(), TestFailure> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("plugin.so");
    make(&file)?;
    match load(&file, SOON) {
        Ok(plugin) => Err(TestFailure::new(format!("it is loaded: {plugin:?}"))),
        Err(error) => contains(&error_text(&error), expected),
    }
}

async fn a_file_that_is_not_a_plugin_is_reported() -> Result<(), TestFailure> {
    let write = |text: &'static [u8]| {
        move |file: &Path| {
            fs::write(file, text)?;
            fs::set_permissions(file, fs::Permissions::from_mode(0o644))
        }
    };
    check_file(|_| Ok(()), "No such file")?;
    check_file(|file| fs::create_dir(file), "it is a folder")?;
    check_file(write(b""), "it does not begin as an ELF file")?;
    check_file(write(b"#!/bin/sh\n"), "it does not begin as an ELF file")?;
    // The loader's message contains the file, but not the path that it was opened by.
    check_file(write(b"\x7fELFand nothing else"), "plugin.so: file too short")?;
    let not_dynamic = |file: &Path| write(b"")(file).and_then(|()| fs::copy("/proc/self/exe", file).map(drop));
    check_file(not_dynamic, "plugin.so: cannot dynamically load")?;
    check_load(SOON, &["-DNO_SYMBOL"], "it does not export a function `xcluster_plugin`")
}

async fn a_faulty_table_is_reported() -> Result<(), TestFailure> {
    check_load(SOON, &["-DABI=0"], "an older interface, version 0; this one is version 1")?;
    check_load(SOON, &["-DABI=7"], "a newer interface, version 7; this one is version 1")?;
    check_load(SOON, &["-DSIZE=40"], "its table has 40 bytes, and ")?;
    check_load(SOON, &["-DNO_TABLE"], "its table is null")?;
    check_load(SOON, &["-DNO_FUNCTIONS"], "its table has no `call`, no `free`")?;
    check_load(SOON, &["-DNAME=NULL"], "its name is none that a plugin can have")?;
    check_load(SOON, &["-DNAME=\"Up/Down\""], "its name is none that a plugin can have")?;
    check_load(SOON, &["-DVERSION=\"\""], "its version is none, or too long")?;
    // A larger one is from a later version of the same interface.
    let (_folder, library) = faulty(&["-DSIZE=4096"])?;
    load(&library, SOON).map(drop).map_err(|error| TestFailure::new(error_text(&error)))
}

async fn a_plugin_that_makes_no_instance_is_reported() -> Result<(), TestFailure> {
    check_load(SOON, &["-DCREATES_NULL"], "plugin `faulty` made no instance, and gave no reason")?;
    check_load(SOON, &["-DREASON=\"oops\""], "answered `create` with what is no reply")?;
    check_load(SOON, &["-DREASON=\"{\\\"ok\\\":{}}\""], "made no instance, and gave no reason")?;
    let said = r#"-DREASON="{\"error\":{\"kind\":\"other\",\"message\":\"it rains\"}}""#;
    check_load(SOON, &[said], "did not make an instance: it rains")?;
    check_load(IMPATIENT, &["-DHANGS_IN_CREATE"], "did not answer `create` within 0.2 s")?;
    check_load(IMPATIENT, &["-DHANGS_IN=\"describe\""], "did not answer `create` within 0.2 s")?;
    check_load(
        SOON,
        &[r#"-DDESCRIBE="{\"ok\":{\"capabilities\":{}}}""#],
        "no capabilities for nets of the kind `internal`",
    )
}

async fn a_faulty_reply_is_reported() -> Result<(), TestFailure> {
    check_load(SOON, &["-DNULL_WITH_LENGTH"], "answered `describe` with a length of 7 bytes and nothing there")?;
    check_load(SOON, &["-DNOTHING"], "answered `describe` with nothing")?;
    check_load(SOON, &["-DEMPTY"], "answered `describe` with nothing")?;
    check_load(SOON, &["-DHUGE"], "answered `describe` with 8388608 bytes, and the most is 1048576")?;
    check_load(SOON, &["-DNO_TEXT"], "answered `describe` with text that is not UTF-8")?;
    check_load(SOON, &["-DDESCRIBE=\"yes\""], "answered `describe` with what is no reply: expected value")?;
    check_load(SOON, &["-DDESCRIBE=\"{}\""], "answered `describe` with what is no reply")
}

/// The answer of a plugin to a setup is refused for this reason.
async fn check_setup(flags: &[&str], expected: &str) -> Result<(), TestFailure> {
    let fixture = Fixture::new(flags)?;
    match fixture.set_up(&port(3)).await {
        Ok(port_config) => Err(TestFailure::new(format!("{flags:?}: {port_config:?}"))),
        Err(error) => contains(&error_text(&error), expected).map_err(|failed| failed.during(format!("{flags:?}"))),
    }
}

async fn a_setup_that_makes_no_sense_is_reported() -> Result<(), TestFailure> {
    check_setup(&["-DSETUP=\"{\""], "plugin `faulty` answered `setup` with what is no reply: EOF").await?;
    check_setup(&[r#"-DSETUP="{\"ok\":{}}""#], "missing field `words`").await?;
    check_setup(&[r#"-DSETUP="{\"ok\":{\"words\":[\"tap\"]}}""#], "the first arg for QEMU must begin with `-`").await?;
    let nowhere = r#"-DSETUP="{\"ok\":{\"words\":[],\"place\":\"cluster\"}}""#;
    check_setup(&[nowhere], "a place in the cluster's network namespace, which it has not").await
}

async fn a_plugins_own_errors_keep_their_kind() -> Result<(), TestFailure> {
    let said = async |error: &str| {
        let text = format!("{{\"error\":{error}}}").replace('"', "\\\"");
        let fixture = Fixture::new(&[&format!("-DSETUP=\"{text}\"")])?;
        fixture.set_up(&port(3)).await.err().ok_or_else(|| TestFailure::new("it should have failed"))
    };
    let unsupported = said(r#"{"kind":"unsupported","what":"no luck","remedy":"sudo luck"}"#).await?;
    ensure((error_text(&unsupported).as_str(), unsupported.remedy()) == ("no luck", Some("sudo luck")), || {
        error_text(&unsupported)
    })?;
    let in_use = said(r#"{"kind":"in_use","what":"port 7","by":"you"}"#).await?;
    ensure(matches!(in_use, NetError::InUse { .. }), || error_text(&in_use))?;
    let conflict = said(r#"{"kind":"conflict","object":"br0"}"#).await?;
    ensure(matches!(conflict, NetError::Conflict { .. }), || error_text(&conflict))?;
    let io = said(r#"{"kind":"io","action":"open it","errno":13}"#).await?;
    ensure(error_text(&io).starts_with("cannot open it: Permission denied"), || error_text(&io))?;
    let panic = said(r#"{"kind":"panicked","message":"boo"}"#).await?;
    ensure(error_text(&panic) == "a panic: boo", || error_text(&panic))?;
    let usable = Fixture::new(&[r#"-DUSABLE="{\"error\":{\"kind\":\"refused\",\"message\":\"not here\"}}""#])?;
    let said = usable.backend.usable().err().map(|error| error_text(&error)).unwrap_or_default();
    ensure(said == "not here", || said)
}

async fn a_plugin_that_others_can_change_is_not_loaded() -> Result<(), TestFailure> {
    let (folder, library) = faulty(&[])?;
    let refused = |path: &Path, mode: u32, usual: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        let loaded = load(&library, SOON);
        fs::set_permissions(path, fs::Permissions::from_mode(usual))?;
        let error = loaded.err().ok_or_else(|| TestFailure::new("it is loaded"))?;
        contains(&error_text(&error), &format!("others can write to `{}`", path.display()))?;
        let remedy = error.remedy().unwrap_or_default();
        ensure(remedy == format!("chmod go-w {}", path.display()), || remedy.to_owned())
    };
    refused(&library, 0o777, 0o755)?;
    refused(&library, 0o664, 0o644)?;
    refused(folder.path(), 0o777, 0o700)?;
    load(&library, SOON).map(drop).map_err(|error| TestFailure::new(error_text(&error)))
}
