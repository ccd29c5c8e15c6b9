//! Runs the programs of apt and dpkg. No other file does.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::super::subprocess::{SubprocessError, stdout_of};
use super::{Package, PackageError};

/// The deadline for a query of apt's index. apt first rebuilds an old index, which takes a second or two.
const ASK: Duration = Duration::from_secs(60);
/// The deadline for the download: 40 MB over a slow line.
const DOWNLOAD: Duration = Duration::from_secs(900);
/// The deadline for unpacking one package; a kernel takes two seconds.
const UNPACK: Duration = Duration::from_secs(120);

/// Returns the first of `names` that apt can download.
pub(super) fn first_known<'a>(names: &[&'a str]) -> Result<Option<&'a str>, PackageError> {
    let unknown = unknown(names)?;
    Ok(names.iter().find(|name| !unknown.iter().any(|unknown| unknown == *name)).copied())
}

/// Returns those of `names` that apt cannot download.
pub(super) fn unknown(names: &[&str]) -> Result<Vec<String>, PackageError> {
    // The listing omits an unknown name. A known name without a version to download has `(none)`.
    let listing = ask(["policy"].iter().chain(names))?;
    let known = |name: &str| {
        let mut lines = listing.lines().skip_while(|line| *line != format!("{name}:")).skip(1);
        let candidate =
            lines.by_ref().take_while(|line| line.starts_with(' ')).find(|line| line.contains("Candidate:"));
        candidate.is_some_and(|line| !line.ends_with("(none)"))
    };
    Ok(names.iter().filter(|name| !known(name)).map(|name| (*name).to_owned()).collect())
}

/// Returns apt's listing of the packages' dependencies, direct and indirect.
pub(super) fn depends(names: &[&str]) -> Result<String, PackageError> {
    ask(["depends", "--important", "--recurse"].iter().chain(names))
}

/// Downloads packages into a folder. apt compares them with the checksums in its signed lists.
pub(super) fn download(names: &[String], folder: &Path) -> Result<(), PackageError> {
    let mut command = command("apt-get");
    // As root, apt would download as the user `_apt`, which cannot write into a private folder.
    command.args(["--quiet", "--option", "APT::Sandbox::User=root"]);
    command.args(["--option", "Acquire::http::Timeout=30", "--option", "Acquire::Retries=2"]);
    command.arg("download").args(names).current_dir(folder);
    run(&mut command, "apt-get", DOWNLOAD, PackageError::Download).map(drop)
}

/// Unpacks a package into a folder.
pub(super) fn unpack(file: &Path, root: &Path) -> Result<(), SubprocessError> {
    stdout_of(command("dpkg-deb").arg("--extract").arg(file).arg(root), UNPACK).map(drop)
}

/// Returns the name and version of a package from its file name, in which apt writes `%3a` for a colon.
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
    // Our parser expects the English listings.
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
    fn the_name_of_a_file_has_the_package_and_its_version() {
        let package = package_of("busybox-static_1%3a1.35.0-4+deb12u1_amd64.deb");
        assert_eq!((package.name.as_str(), package.version.as_str()), ("busybox-static", "1:1.35.0-4+deb12u1"));
    }
}
