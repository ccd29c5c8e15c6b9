use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::image::build::BuildError;
use crate::image::initramfs::Tree;

/// A cache, with the progress lines and the number of builds so far.
struct Fixture {
    _folder: TempDir,
    cache: Cache,
    progress: Mutex<Vec<String>>,
    builds: AtomicUsize,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        Self { _folder: folder, cache, progress: Mutex::default(), builds: AtomicUsize::new(0) }
    }

    /// Stands for the build from packages. The kernel differs each time.
    fn build_parts(&self) -> (ImageParts, Vec<Package>) {
        let number = self.builds.fetch_add(1, Ordering::SeqCst) + 1;
        let mut tree = Tree::default();
        tree.file("bin/busybox", 0o755, "busybox");
        let parts = ImageParts { kernel: format!("kernel {number}").into(), release: "6.1".into(), tree };
        (parts, vec![Package { name: "busybox-static".into(), version: "1:1.35".into() }])
    }

    fn ask<T>(&self, agent: &str, build_parts: &BuildParts<'_>, ask: impl FnOnce(&StandardImage<'_>) -> T) -> T {
        let progress = |text: &str| self.progress.lock().unwrap().push(text.to_owned());
        ask(&StandardImage { cache: &self.cache, agent: agent.as_bytes(), progress: &progress, build_parts })
    }

    fn image(&self, agent: &str) -> Image {
        self.ask(agent, &|_, _| Ok(self.build_parts()), |standard_image| standard_image.image()).unwrap()
    }

    fn builds(&self) -> usize {
        self.builds.load(Ordering::SeqCst)
    }

    /// The names in the cache, up to the first `-`.
    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache.folder()).unwrap();
        let mut kinds: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.split('-').next().unwrap_or_default().to_owned())
            .collect();
        kinds.sort();
        kinds
    }
}

fn kernel(image: &Image) -> String {
    fs::read_to_string(&image.kernel).unwrap()
}

#[test]
fn an_image_is_built_once_and_its_manifest_lists_the_packages() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.image("agent"), fixture.image("agent"));
    assert_eq!(first, second);
    assert_eq!(fixture.builds(), 1);
    assert_eq!(fixture.entries(), ["image", "lock", "parts"]);
    let manifest = first.manifest.unwrap();
    assert_eq!((manifest.release.as_str(), manifest.packages[0].name.as_str()), ("6.1", "busybox-static"));
}

#[test]
fn a_new_agent_gives_a_new_image_from_the_same_parts() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.image("one"), fixture.image("other"));
    assert_ne!(one.key, other.key);
    assert_eq!(fixture.builds(), 1);
    // They share the kernel, which is the largest file, by a hard link.
    assert_eq!(fs::metadata(&one.kernel).unwrap().ino(), fs::metadata(&other.kernel).unwrap().ino());
}

#[test]
fn newer_packages_are_used_on_request_only() {
    let fixture = Fixture::new();
    fixture.image("agent");
    let newest =
        fixture.ask("agent", &|_, _| Ok(fixture.build_parts()), |standard_image| standard_image.newest()).unwrap();
    assert_eq!(kernel(&newest), "kernel 2");
    assert_eq!(fixture.image("agent"), newest);
}

#[test]
fn a_damaged_file_is_detected_and_built_again() {
    for damage in [
        |path: &Path| fs::write(path, "kernel X").unwrap(),
        |path: &Path| fs::write(path, "").unwrap(),
        |path: &Path| fs::remove_file(path).unwrap(),
        |path: &Path| fs::write(path.with_file_name("manifest.json"), "{").unwrap(),
    ] {
        let fixture = Fixture::new();
        damage(&fixture.image("agent").kernel);
        let image = fixture.image("agent");
        assert!(kernel(&image).starts_with("kernel ") && kernel(&image) != "kernel X");
        let progress = fixture.progress.lock().unwrap().join("\n");
        assert!(progress.contains("building the guest again: `"), "{progress}");
        assert!(!fixture.entries().contains(&"building".to_owned()));
    }
}

#[test]
fn a_file_that_was_only_copied_or_touched_is_not_damaged() {
    let fixture = Fixture::new();
    let image = fixture.image("agent");
    let copy = image.kernel.with_file_name("copy");
    fs::copy(&image.kernel, &copy).unwrap();
    fs::rename(&copy, &image.kernel).unwrap();
    assert_eq!(fixture.image("agent"), image);
    assert_eq!(fixture.builds(), 1);
}

#[test]
fn a_failed_build_leaves_nothing_and_gives_the_reason() {
    let fixture = Fixture::new();
    let fail = |folder: &Path, _: &dyn Fn(&str)| {
        fs::write(folder.join("half"), "half").unwrap();
        Err(BuildError::Missing("program `ip`".into()).into())
    };
    let error = fixture.ask("agent", &fail, |standard_image| standard_image.image()).unwrap_err();
    assert_eq!(error.to_string(), "program `ip` is not in the packages");
    assert_eq!(fixture.entries(), ["lock"]);
    fixture.image("agent");
}

#[test]
fn leftovers_of_a_killed_builder_are_removed_by_the_next() {
    let fixture = Fixture::new();
    let folder = |name: &str| fixture.cache.folder().join(name);
    fs::create_dir_all(folder("building-dead/root")).unwrap();
    fs::write(folder("building-dead/.xcluster-build"), "").unwrap();
    fs::create_dir(folder("building-new")).unwrap();
    fixture.image("agent");
    assert_eq!(fixture.entries(), ["image", "lock", "parts"]);
}

#[test]
fn only_folders_that_builders_made_are_removed() {
    let fixture = Fixture::new();
    fixture.image("agent");
    let mine = fixture.cache.folder().join("building-mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("notes"), "x").unwrap();
    std::os::unix::fs::symlink(&mine, fixture.cache.folder().join("building-link")).unwrap();
    fixture.image("another");
    assert!(mine.join("notes").exists() && fixture.cache.folder().join("building-link").is_symlink());
}

#[test]
fn an_entry_that_was_not_used_for_long_is_removed() {
    let fixture = Fixture::new();
    let old = fixture.image("old");
    let manifest = File::open(old.kernel.with_file_name("manifest.json")).unwrap();
    manifest.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    fixture.image("new");
    assert!(!old.kernel.exists());
}

#[test]
fn builders_wait_for_one_another_and_build_once() {
    let fixture = Fixture::new();
    let start = Barrier::new(4);
    let images: Vec<Image> = thread::scope(|scope| {
        let ask = || {
            start.wait();
            fixture.image("agent")
        };
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert!(images.iter().all(|image| *image == images[0]));
    assert_eq!(fixture.builds(), 1);
}

#[test]
fn waiting_for_another_builder_has_a_timeout() {
    let fixture = Fixture::new();
    let _other = fixture.cache.lock().unwrap();
    let begin = Instant::now();
    let cache = fixture.cache.clone().with_lock_timeout(Duration::from_millis(50));
    let error = cache.lock().unwrap_err();
    assert!(matches!(error, CacheError::Busy { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let fixture = Fixture::new();
    fs::write(fixture.cache.folder(), "a file where the folder should be").unwrap();
    let error =
        fixture.ask("agent", &|_, _| Ok(fixture.build_parts()), |standard_image| standard_image.image()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot create `{}`", fixture.cache.folder().display()));
}

/// Puts something that no builder has made in place of an entry or of the lock. It must stay, and the build must fail with
/// `why`.
fn check_foreign_file(put: impl FnOnce(&Path, &Path), name: fn(&str) -> bool, why: &str) {
    let fixture = Fixture::new();
    let folder = fixture.cache.folder().to_owned();
    let precious = tempfile::tempdir().unwrap();
    fs::write(precious.path().join("a"), "x").unwrap();
    let image = fixture.image("agent");
    let entry = |name: fn(&str) -> bool| {
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        entries.into_iter().find(|path| name(path.file_name().unwrap().to_str().unwrap())).unwrap()
    };
    let path = entry(name);
    if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
    put(&path, precious.path());
    drop(image);
    let error = fixture.ask("another", &|_, _| Ok(fixture.build_parts()), |standard| standard.newest()).unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(fs::read_to_string(precious.path().join("a")).unwrap(), "x");
    assert!(fs::symlink_metadata(&path).is_ok());
}

#[test]
fn a_link_in_place_of_the_lock_is_not_truncated() {
    let link = |path: &Path, precious: &Path| std::os::unix::fs::symlink(precious.join("a"), path).unwrap();
    check_foreign_file(link, |name| name == "lock", "symbolic link");
    let second_name = |path: &Path, precious: &Path| fs::hard_link(precious.join("a"), path).unwrap();
    check_foreign_file(second_name, |name| name == "lock", "one name");
}

#[test]
fn a_foreign_folder_with_the_name_of_an_image_is_not_replaced() {
    let link = |path: &Path, precious: &Path| std::os::unix::fs::symlink(precious, path).unwrap();
    check_foreign_file(link, |name| name.starts_with("parts-"), "symbolic link");
    let folder = |path: &Path, _: &Path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("a"), "x").unwrap();
    };
    check_foreign_file(folder, |name| name.starts_with("parts-"), "not an image that was built here");
}

#[test]
fn old_folders_that_are_not_images_are_kept() {
    let fixture = Fixture::new();
    let image = fixture.image("agent");
    let other = fixture.cache.folder().join("other");
    fs::create_dir(&other).unwrap();
    let manifest = other.join("manifest.json");
    fs::copy(image.kernel.with_file_name("manifest.json"), &manifest).unwrap();
    File::open(&manifest).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    std::os::unix::fs::symlink(&other, fixture.cache.folder().join("image-link")).unwrap();
    fixture.image("new");
    assert!(manifest.exists() && fixture.cache.folder().join("image-link").is_symlink());
}

#[test]
fn a_cache_that_other_users_can_change_is_refused() {
    let fixture = Fixture::new();
    fixture.image("agent");
    let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
    fs::set_permissions(fixture.cache.folder(), open).unwrap();
    let error = fixture.ask("another", &|_, _| Ok(fixture.build_parts()), |standard| standard.newest()).unwrap_err();
    assert!(error.to_string().contains("other users have access to it"), "{error}");
}
