//! The settings of a test run: from the environment, and from the thread and program that run the test.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Uid;

use super::TestRun;
use super::skip::{is_on, is_required};

/// How long a test that failed waits at most if `XCLUSTER_PAUSE` is set.
const PAUSE: Duration = Duration::from_secs(60 * 60);

/// Whose artifacts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Those of tests that failed.
    #[default]
    Failed,
    /// Those of every test.
    Always,
}

/// A variable has a value that it cannot have.
#[derive(thiserror::Error)]
#[error("invalid value `{value}` of XCLUSTER_KEEP: expected `failed` or `always`")]
pub struct SettingsError {
    value: String,
}

/// As it is displayed: this is what a test prints that returns it.
impl fmt::Debug for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TestRun {
    /// Takes the settings from the environment: see [`test_run`](crate::test_run). The current thread must be the test's, since
    /// the test is named after it.
    ///
    /// # Errors
    /// A variable has a value that it cannot have.
    pub fn from_env() -> Result<Self, SettingsError> {
        let program = env::current_exe().unwrap_or_default();
        Self::from_variables(|name| env::var_os(name).filter(|value| !value.is_empty()), &program)
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>, program: &Path) -> Result<Self, SettingsError> {
        let keep = match variable("XCLUSTER_KEEP").as_ref().map(|value| value.to_string_lossy()) {
            None => Keep::default(),
            Some(value) if value == "failed" => Keep::Failed,
            Some(value) if value == "always" => Keep::Always,
            Some(value) => return Err(SettingsError { value: value.into_owned() }),
        };
        let folder = variable("XCLUSTER_ARTIFACTS").map(PathBuf::from).unwrap_or_else(|| default_artifacts(program));
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        let thread = std::thread::current().name().filter(|name| *name != "main").map(str::to_owned);
        let test = thread.or_else(|| text("NEXTEST_TEST_NAME")).unwrap_or_else(|| "main".to_owned());
        Ok(Self {
            name: name_of(text("CARGO_PKG_NAME").as_deref(), program, &test),
            artifacts: std::path::absolute(&folder).unwrap_or(folder),
            keep,
            pause: variable("XCLUSTER_PAUSE").filter(|value| is_on(value)).map(|_| PAUSE),
            required: is_required(),
        })
    }
}

/// The name of a test over all test programs of a workspace, such as `my-package::vms::nodes::ping`.
fn name_of(package: Option<&str>, program: &Path, test: &str) -> String {
    let stem = program.file_stem().unwrap_or_default().to_string_lossy();
    // Cargo adds a hash: `vms-0123456789abcdef`.
    let program = match stem.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => &stem,
    };
    // The unit tests of a library are in a program of its name.
    let is_library = package.is_some_and(|package| package.replace('-', "_") == program);
    let parts = [package, Some(program).filter(|_| !is_library), Some(test)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("::")
}

/// `xcluster` in cargo's target folder, which is known by the file that cargo marks it with; for a program elsewhere, a folder of
/// this user in the temporary folder.
fn default_artifacts(program: &Path) -> PathBuf {
    let target = program.ancestors().skip(1).find(|folder| folder.join("CACHEDIR.TAG").is_file());
    match target {
        Some(target) => target.join("xcluster"),
        None => env::temp_dir().join(format!("xcluster-tests-{}", Uid::effective())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<TestRun, SettingsError> {
        let find = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into());
        TestRun::from_variables(find, Path::new("/no/target/vms-0123456789abcdef"))
    }

    #[test]
    fn a_test_is_named_after_its_package_program_and_thread() {
        let run = from(&[("CARGO_PKG_NAME", "my-package")]).unwrap();
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        assert_eq!(run.name, format!("my-package::vms::{thread}"));
        let library = name_of(Some("my-package"), Path::new("/target/debug/deps/my_package-0123456789abcdef"), "a::b");
        assert_eq!(library, "my-package::a::b");
        assert_eq!(name_of(None, Path::new("/usr/bin/prog-x"), "a"), "prog-x::a");
    }

    #[test]
    fn variables_set_what_is_kept_and_where() {
        let run = from(&[("XCLUSTER_KEEP", "always"), ("XCLUSTER_ARTIFACTS", "/a"), ("XCLUSTER_PAUSE", "1")]).unwrap();
        assert_eq!((run.keep, run.artifacts.as_path(), run.pause), (Keep::Always, Path::new("/a"), Some(PAUSE)));
        let run = from(&[("XCLUSTER_PAUSE", "0")]).unwrap();
        assert_eq!((run.keep, run.pause), (Keep::Failed, None));
        let error = from(&[("XCLUSTER_KEEP", "some")]).unwrap_err();
        assert_eq!(error.to_string(), "invalid value `some` of XCLUSTER_KEEP: expected `failed` or `always`");
    }

    #[test]
    fn artifacts_are_in_the_target_folder() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("CACHEDIR.TAG"), "").unwrap();
        assert_eq!(default_artifacts(&dir.path().join("debug/deps/vms-0")), dir.path().join("xcluster"));
        assert!(default_artifacts(Path::new("/no/target/vms-0")).starts_with(env::temp_dir()));
    }
}
