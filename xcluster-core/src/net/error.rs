//! What can go wrong at the backend API, in the few kinds that a caller treats differently.

use std::io;

use crate::error_chain::one_line;
use crate::host::NamespaceError;

/// Why a backend could not do what it was asked to. Its text reads after "cannot set up net 1: ".
///
/// Who asked and for which net is added by the cluster, once.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// This host lacks something that the backend needs.
    #[error("{what}")]
    Unsupported {
        /// What it lacks, in words that stand alone: "cannot open `/dev/net/tun`: permission denied".
        what: String,
        /// The command that helps, if there is one: `sudo chmod 0666 /dev/net/tun`.
        remedy: Option<String>,
    },
    /// The backend cannot carry such a net or port anywhere.
    #[error("{0}")]
    Refused(String),
    /// A foreign object has the name that ours would have. It was left as it was.
    #[error("`{object}` is there already and is not ours")]
    Conflict {
        /// The object: a link, a bridge.
        object: String,
    },
    /// A number that was asked for by name is in use.
    #[error("{what} is in use by {by}")]
    InUse {
        /// The number: `port 127.0.0.1:12001`.
        what: String,
        /// By whom, as far as it can be told.
        by: String,
    },
    /// The operating system said no.
    #[error("cannot {action}")]
    Io {
        /// What was attempted: "open `/dev/net/tun`".
        action: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Something of the backend's own.
    #[error("{message}")]
    Other {
        /// What was attempted and how it went.
        message: String,
        /// The cause, if there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl NetError {
    /// An error of the operating system, with what was attempted.
    pub fn io(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { action: action.into(), source: source.into() }
    }

    /// What the host lacks, where no command is known that helps.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), remedy: None }
    }

    /// The command that helps, where there is one.
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
        Self::Unsupported { what: one_line(&error), remedy: error.remedy() }
    }
}
