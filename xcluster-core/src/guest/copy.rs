//! The result of copying a file between the host and a guest.

use serde::{Deserialize, Serialize};

/// A file that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Copied {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its permission bits, on both sides.
    pub mode: u32,
}
