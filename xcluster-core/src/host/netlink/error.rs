//! Why the kernel did not do what it was asked to: what was attempted, and its errno. Says nothing of what that means.

use std::io;

use nix::errno::Errno;

/// What was attempted, and what the kernel said.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct NetlinkError {
    action: String,
    source: io::Error,
}

impl NetlinkError {
    /// That this was attempted, and what came of it.
    pub fn new(action: impl Into<String>, source: io::Error) -> Self {
        Self { action: action.into(), source }
    }

    /// What was attempted, and what came of it.
    pub fn into_parts(self) -> (String, io::Error) {
        (self.action, self.source)
    }

    /// The kernel's word for it, if it was the kernel's.
    pub fn errno(&self) -> Option<Errno> {
        self.source.raw_os_error().map(Errno::from_raw)
    }

    /// Whether it is this word.
    pub fn is(&self, errno: Errno) -> bool {
        self.errno() == Some(errno)
    }
}
