//! Pages of `docs/` with parts that are made from code: the test compares them, or writes them on demand.

mod backends;
mod guide;
mod page;

use std::path::{Path, PathBuf};

/// A file of this repository.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
