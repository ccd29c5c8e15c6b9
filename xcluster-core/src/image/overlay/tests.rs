use std::io::Write as _;
use std::os::unix::fs::symlink;

use cpio::newc;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;
use crate::error_chain::one_line;

/// The entries of an archive as `path mode content`.
fn entries(overlay: &Overlay) -> Vec<String> {
    let (mut rest, mut entries) = (overlay.to_cpio(), Vec::new());
    loop {
        let mut reader = newc::Reader::new(rest).unwrap();
        if reader.entry().is_trailer() {
            return entries;
        }
        let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
        let mut content = String::new();
        io::Read::read_to_string(&mut reader, &mut content).unwrap();
        entries.push(format!("{name} {mode:o} {content}").trim_end().to_owned());
        rest = reader.finish().unwrap();
    }
}

/// Makes a tar with one entry. The name is written directly: the crate `tar` refuses to write bad names.
fn tar_of(name: &str, kind: ::tar::EntryType, content: &str) -> Vec<u8> {
    let mut header = ::tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_device_major(5).unwrap();
    header.set_device_minor(1).unwrap();
    header.set_cksum();
    let mut tar = ::tar::Builder::new(Vec::new());
    tar.append(&header, content.as_bytes()).unwrap();
    tar.into_inner().unwrap()
}

fn tar_file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("overlay.tar");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Makes a folder with a program `tar`.
fn scripted(script: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tar");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(folder.path().join("etc")).unwrap();
    fs::write(folder.path().join("etc/motd"), "hello").unwrap();
    folder
}

fn refusal(tar: &[u8]) -> String {
    let (_folder, path) = tar_file(tar);
    reason(&path)
}

/// Returns why the overlay at a path cannot be used, without the path, which must come first.
fn reason(path: &Path) -> String {
    let error = one_line(&Overlay::from_path(path).unwrap_err());
    let reason = error.strip_prefix(&format!("cannot use overlay `{}`: ", path.display()));
    reason.unwrap_or_else(|| panic!("the path is not named: {error}")).to_owned()
}

#[test]
fn a_folders_files_are_put_below_the_root() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("etc/init.d")).unwrap();
    fs::write(folder.path().join("etc/init.d/10x.rc"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(folder.path().join("etc/init.d/10x.rc"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("/usr/bin/x", folder.path().join("x")).unwrap();
    let overlay = Overlay::from_path(folder.path()).unwrap();
    let expected = ["etc 40755", "etc/init.d 40755", "etc/init.d/10x.rc 100750 #!/bin/sh", "x 120777 /usr/bin/x"];
    assert_eq!(entries(&overlay), expected);
}

#[test]
fn a_tar_may_be_compressed() {
    let tar = tar_of("./etc/motd", ::tar::EntryType::Regular, "hello");
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&tar).unwrap();
    for bytes in [tar, packed.finish().unwrap()] {
        let (_folder, path) = tar_file(&bytes);
        assert_eq!(entries(&Overlay::from_path(&path).unwrap()), ["etc 40755", "etc/motd 100644 hello"]);
    }
}

#[test]
fn a_folders_program_writes_to_the_named_file_or_to_its_output() {
    for script in ["tar -cf \"$1\" etc", "tar -c etc"] {
        let folder = scripted(script);
        let overlay = Overlay::from_path(folder.path()).unwrap();
        assert_eq!(entries(&overlay), ["etc 40755", "etc/motd 100644 hello"], "{script}");
    }
}

#[test]
fn a_failing_program_shows_its_standard_error() {
    let folder = scripted("echo no compiler >&2; exit 2");
    let error = reason(folder.path());
    assert!(error.starts_with("the overlay's program made no tar: "), "{error}");
    assert!(error.ends_with("/tar` failed (exit status: 2): no compiler"), "{error}");
}

#[test]
fn a_hanging_program_is_killed() {
    let folder = scripted("echo waiting >&2; sleep 100");
    let error = one_line(&Overlay::from_path_within(folder.path(), Duration::from_millis(300)).unwrap_err());
    assert!(error.ends_with("timed out after 0.3 s: waiting"), "{error}");
}

#[test]
fn a_path_that_leaves_the_guest_is_refused() {
    for path in ["/etc/passwd", "../x", "etc/../../x"] {
        let error = refusal(&tar_of(path, ::tar::EntryType::Regular, ""));
        assert!(error.starts_with(&format!("`{path}` is not a path within a guest")), "{error}");
        let file = OverlayFile { path: path.to_owned(), mode: 0o644, content: Vec::new() };
        assert!(matches!(Overlay::from_files([file]), Err(OverlayError::Path(_))));
    }
}

#[test]
fn other_files_than_tars_are_refused() {
    let whole = tar_of("a", ::tar::EntryType::Regular, "content");
    for bytes in [&b"#!/bin/sh\necho this is a script and no tar at all\n".repeat(20)[..], &whole[..515]] {
        assert!(refusal(bytes).starts_with("not a tar, or a damaged one: "));
    }
}

#[test]
fn a_hard_link_is_a_copy_of_its_target() {
    let folder = scripted("ln etc/motd etc/other; tar -c etc");
    let expected = ["etc 40755", "etc/motd 100644 hello", "etc/other 100644 hello"];
    assert_eq!(entries(&Overlay::from_path(folder.path()).unwrap()), expected);
    let dangling = tar_of("a", ::tar::EntryType::Link, "");
    assert!(refusal(&dangling).starts_with("`a` is a hard link to"));
}

#[test]
fn devices_need_no_privilege_of_the_host() {
    let (_folder, path) = tar_file(&tar_of("dev/x", ::tar::EntryType::Char, ""));
    assert_eq!(entries(&Overlay::from_path(&path).unwrap()), ["dev 40755", "dev/x 20644"]);
}

#[test]
fn a_missing_overlay_is_named() {
    let error = one_line(&Overlay::from_path(Path::new("/nonexistent/ovl")).unwrap_err());
    assert!(error.starts_with("cannot read `/nonexistent/ovl`: "), "{error}");
}
