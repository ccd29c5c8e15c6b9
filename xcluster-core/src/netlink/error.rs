//! Why a request to the kernel failed. What an errno means for a backend is decided there.

use std::io;

use nix::errno::Errno;

use crate::error_chain;
use crate::net::NetError;

/// A request to the kernel that failed: the action, and the system error.
#[derive(thiserror::Error)]
#[error("cannot {action}")]
pub struct NetlinkError {
    action: String,
    source: io::Error,
}

error_chain::readable_debug!(NetlinkError);

impl NetlinkError {
    /// An error of an action, which reads after "cannot": "make bridge `xcbr1`".
    pub fn new(action: impl Into<String>, source: io::Error) -> Self {
        Self { action: action.into(), source }
    }

    /// The action and the system error.
    pub fn into_parts(self) -> (String, io::Error) {
        (self.action, self.source)
    }

    /// The number of the kernel's error, if the kernel answered.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    pub(crate) fn errno(&self) -> Option<Errno> {
        self.raw_os_error().map(Errno::from_raw)
    }

    pub(crate) fn is(&self, errno: Errno) -> bool {
        self.errno() == Some(errno)
    }
}

impl From<NetlinkError> for NetError {
    fn from(failure: NetlinkError) -> Self {
        Self::io(failure.action, failure.source)
    }
}
