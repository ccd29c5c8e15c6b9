//! The errors of the backend API, in the few kinds that a caller treats differently.

use std::io;

use crate::error_chain;
use crate::host::NamespaceError;

/// Why a backend could not do what it was asked to. The text reads after "cannot set up net 1: ".
///
/// The cluster adds the node and the net, once.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// This host lacks something that the backend needs.
    #[error("{what}")]
    Unsupported {
        /// The missing thing, as a text that stands alone: "cannot open `/dev/net/tun`: permission denied".
        what: String,
        /// The command that provides it, if one is known: `sudo chmod 0666 /dev/net/tun`.
        remedy: Option<String>,
    },
    /// The backend cannot carry such a net or port on any host.
    #[error("{0}")]
    Refused(String),
    /// A foreign object has the name that ours would have. It is left as it was.
    #[error("`{object}` is there already and is not ours")]
    Conflict {
        /// The object: a link, a bridge.
        object: String,
    },
    /// A number that was asked for is in use.
    #[error("{what} is in use by {by}")]
    InUse {
        /// The number: `port 127.0.0.1:12001`.
        what: String,
        /// The user of the number, as far as it is known.
        by: String,
    },
    /// A system call failed.
    #[error("cannot {action}")]
    Io {
        /// The action: "open `/dev/net/tun`".
        action: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// An error of the backend's own kind.
    #[error("{message}")]
    Other {
        /// What was attempted, and why it failed.
        message: String,
        /// The cause, if there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

error_chain::readable_debug!(NetError);

impl NetError {
    /// An error of the operating system, with the action that failed.
    pub fn io(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { action: action.into(), source: source.into() }
    }

    /// Something that the host lacks, where no command is known that provides it.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), remedy: None }
    }

    /// The command that helps, if one is known.
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Unsupported { remedy, .. } => remedy.as_deref(),
            _ => None,
        }
    }
}

/// The host does not provide the namespace.
impl From<NamespaceError> for NetError {
    fn from(error: NamespaceError) -> Self {
        Self::Unsupported { what: error_chain::one_line(&error), remedy: error.remedy() }
    }
}
