//! The only place that runs the programs of apt and dpkg.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::super::subprocess::{SubprocessError, stdout_of};
use super::{Package, PackageError};

/// Questions to apt's index. It is built anew when it is old, which takes a second or two.
const ASK: Duration = Duration::from_secs(60);
/// 40 MB over a slow line.
const DOWNLOAD: Duration = Duration::from_secs(900);
/// One package; a kernel takes two seconds.
const UNPACK: Duration = Duration::from_secs(120);

/// The first of `names` that apt can download.
pub(super) fn first_known<'a>(names: &[&'a str]) -> Result<Option<&'a str>, PackageError> {
    let unknown = unknown(names)?;
    Ok(names.iter().find(|name| !unknown.iter().any(|unknown| unknown == *name)).copied())
}

/// Those of `names` that apt cannot download.
pub(super) fn unknown(names: &[&str]) -> Result<Vec<String>, PackageError> {
    // An unknown name is left out; a known one without a version to download has `(none)`.
    let listing = ask(["policy"].iter().chain(names))?;
    let known = |name: &str| {
        let mut lines = listing.lines().skip_while(|line| *line != format!("{name}:")).skip(1);
        let candidate =
            lines.by_ref().take_while(|line| line.starts_with(' ')).find(|line| line.contains("Candidate:"));
        candidate.is_some_and(|line| !line.ends_with("(none)"))
    };
    Ok(names.iter().filter(|name| !known(name)).map(|name| (*name).to_owned()).collect())
}

/// The listing of what packages depend on, and those in turn.
pub(super) fn depends(names: &[&str]) -> Result<String, PackageError> {
    ask(["depends", "--important", "--recurse"].iter().chain(names))
}

/// Downloads packages into a folder. apt compares them with the sums in its signed lists.
pub(super) fn download(names: &[String], folder: &Path) -> Result<(), PackageError> {
    let mut command = command("apt-get");
    // Root would have apt change to a user of its own, who cannot write into a private folder.
    command.args(["--quiet", "--option", "APT::Sandbox::User=root"]);
    command.args(["--option", "Acquire::http::Timeout=30", "--option", "Acquire::Retries=2"]);
    command.arg("download").args(names).current_dir(folder);
    run(&mut command, "apt-get", DOWNLOAD, PackageError::Download).map(drop)
}

/// Unpacks a package into a folder.
pub(super) fn unpack(file: &Path, root: &Path) -> Result<(), SubprocessError> {
    stdout_of(command("dpkg-deb").arg("--extract").arg(file).arg(root), UNPACK).map(drop)
}

/// Name and version of a package, from the name of its file, where apt writes `%3a` for a colon.
pub(super) fn package_of(file: &str) -> Package {
    let mut parts = file.split('_');
    let mut part = || parts.next().unwrap_or_default().replace("%3a", ":").replace("%7e", "~");
    Package { name: part(), version: part() }
}

fn ask(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String, PackageError> {
    let stdout = run(command("apt-cache").args(args), "apt-cache", ASK, PackageError::Apt)?;
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    // The listings are read by us.
    command.env("LC_ALL", "C");
    command
}

fn run(
    command: &mut Command,
    program: &'static str,
    deadline: Duration,
    error: fn(SubprocessError) -> PackageError,
) -> Result<Vec<u8>, PackageError> {
    stdout_of(command, deadline).map_err(|source| match source {
        SubprocessError::Start { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            PackageError::NoApt { program }
        }
        other => error(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_tells_the_package() {
        let package = package_of("busybox-static_1%3a1.35.0-4+deb12u1_amd64.deb");
        assert_eq!((package.name.as_str(), package.version.as_str()), ("busybox-static", "1:1.35.0-4+deb12u1"));
    }
}
