//! Finds the shared libraries that programs need, in the unpacked packages and never on this host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::elf_file::{self, Needs};
use crate::error_chain;

/// A library that is in none of the unpacked packages.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{needed_by}` needs the library `{library}`, which is in none of the packages")]
#[non_exhaustive]
pub struct MissingLibrary {
    /// The name that the loader looks for.
    pub library: String,
    /// The file name of the program or library that needs it.
    pub needed_by: String,
}

error_chain::readable_debug!(MissingLibrary);

/// The libraries in a folder of unpacked packages, by the name that the loader looks for.
#[derive(Debug, Default)]
pub(super) struct Libraries {
    files: BTreeMap<String, PathBuf>,
}

impl Libraries {
    /// Finds the libraries in the library folders below `root`.
    pub(super) fn of(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let mut files = BTreeMap::new();
        for folder in ["lib", "lib64", "usr/lib", "usr/lib64"] {
            let folder = root.join(folder);
            collect(&root, &folder, &mut files)?;
            // Debian's folder for one architecture, such as `x86_64-linux-gnu`.
            for inner in entries_of(&folder)? {
                if inner.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-")) {
                    collect(&root, &inner, &mut files)?;
                }
            }
        }
        Ok(Self { files })
    }

    /// Returns the file of a library.
    pub(super) fn file(&self, library: &str) -> Option<&Path> {
        self.files.get(library).map(PathBuf::as_path)
    }

    /// Returns the names of all libraries that `programs` need, directly or through other libraries.
    pub(super) fn closure<'a>(
        &self,
        programs: impl IntoIterator<Item = &'a Path>,
    ) -> Result<BTreeSet<String>, ClosureError> {
        let mut closure = BTreeSet::new();
        let mut todo = Vec::new();
        for program in programs {
            todo.extend(self.asked_by(program)?);
        }
        while let Some((library, needed_by)) = todo.pop() {
            let Some(file) = self.files.get(&library) else {
                return Err(MissingLibrary { library, needed_by }.into());
            };
            if closure.insert(library) {
                todo.extend(self.asked_by(file)?);
            }
        }
        Ok(closure)
    }

    /// Returns the libraries that a file needs, each with the file's name.
    fn asked_by(&self, file: &Path) -> io::Result<Vec<(String, String)>> {
        let Needs { libraries, loader } = elf_file::needs(&fs::read(file)?);
        let loader = loader.and_then(|path| Some(path.rsplit('/').next()?.to_owned()));
        let by = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(libraries.into_iter().chain(loader).map(|library| (library, by.clone())).collect())
    }
}

/// Why the libraries of programs could not be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum ClosureError {
    #[error(transparent)]
    Missing(#[from] MissingLibrary),
    #[error("cannot read an unpacked program")]
    Io(#[from] io::Error),
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    for path in entries_of(folder)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| name.contains(".so")) else {
            continue;
        };
        // The name that the loader looks for is often a link, so links are followed. An absolute link in a package would lead
        // to a library of this host.
        if let Ok(file) = path.canonicalize()
            && file.starts_with(root)
            && file.is_file()
        {
            files.entry(name.to_owned()).or_insert(file);
        }
    }
    Ok(())
}

/// Returns the entries of a folder; none if it does not exist.
fn entries_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// An ELF file that needs libraries: the headers that a loader reads, and nothing to run.
    fn needing(libraries: &[&str]) -> Vec<u8> {
        const HEADERS: usize = 64 + 2 * 56;
        let names = libraries.iter().fold(String::from("\0"), |names, library| names + library + "\0");
        let strings = HEADERS + (libraries.len() + 2) * 16;
        let mut elf = vec![0; HEADERS];
        elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        elf[16] = 3; // a shared object
        elf[18] = 62; // x86-64
        elf[20] = 1;
        elf[32] = 64; // where the segments are described
        elf[52] = 64;
        elf[54] = 56;
        elf[56] = 2; // how many there are
        for (segment, (kind, at, size)) in
            [(1, 0, strings + names.len()), (2, HEADERS, strings - HEADERS)].into_iter().enumerate()
        {
            let header = &mut elf[64 + segment * 56..][..56];
            header[0] = kind;
            for (field, value) in [(8, at), (16, at), (32, size), (40, size)] {
                header[field..field + 8].copy_from_slice(&(value as u64).to_le_bytes());
            }
        }
        let mut entry = |tag: usize, value: usize| {
            elf.extend_from_slice(&(tag as u64).to_le_bytes());
            elf.extend_from_slice(&(value as u64).to_le_bytes());
        };
        entry(5, strings);
        let mut at = 1;
        for library in libraries {
            entry(1, at);
            at += library.len() + 1;
        }
        entry(0, 0);
        elf.extend_from_slice(names.as_bytes());
        elf
    }

    fn packages(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn libraries_of_libraries_are_included_and_others_are_not() {
        let root = packages(&[
            ("bin/ip", needing(&["libmnl.so.0", "libc.so.6"])),
            ("lib/x86_64-linux-gnu/libmnl.so.0.2", needing(&["libc.so.6"])),
            ("usr/lib/x86_64-linux-gnu/libc.so.6", needing(&[])),
            ("usr/lib/libother.so.1", needing(&[])),
        ]);
        symlink("libmnl.so.0.2", root.path().join("lib/x86_64-linux-gnu/libmnl.so.0")).unwrap();
        let libraries = Libraries::of(root.path()).unwrap();
        let closure = libraries.closure([root.path().join("bin/ip").as_path()]).unwrap();
        assert_eq!(closure.into_iter().collect::<Vec<_>>(), ["libc.so.6", "libmnl.so.0"]);
        assert!(libraries.file("libmnl.so.0").unwrap().ends_with("libmnl.so.0.2"));
    }

    #[test]
    fn a_missing_library_is_named_with_the_program_that_needs_it() {
        let root = packages(&[("bin/ip", needing(&["libmnl.so.0"]))]);
        // An absolute link leads to a file of this host.
        fs::create_dir(root.path().join("lib")).unwrap();
        symlink("/proc/self/exe", root.path().join("lib/libmnl.so.0")).unwrap();
        let error = Libraries::of(root.path()).unwrap().closure([root.path().join("bin/ip").as_path()]).unwrap_err();
        assert_eq!(error.to_string(), "`ip` needs the library `libmnl.so.0`, which is in none of the packages");
    }
}
