//! An error on its way from one process to another: its kind and its texts.

use std::fmt;

use super::{Error, ErrorKind};
use crate::error_chain;

/// An error that came from another process: its kind and its texts, with its causes as they were there.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct RemoteError {
    kind: ErrorKind,
    message: String,
    /// Of the outermost one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// Of the outermost one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context: Option<Box<FailureContext>>,
    cause: Option<Box<RemoteError>>,
}

/// Information that explains why a node did not start, and the objects that are left of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct FailureContext {
    /// The end of its console.
    pub console: Option<String>,
    /// The end of QEMU's messages.
    pub stderr: Option<String>,
    /// The objects that could not be removed.
    pub leftovers: Vec<String>,
}

impl RemoteError {
    /// An error of this kind with these texts, outermost first.
    pub fn new(kind: ErrorKind, chain: impl IntoIterator<Item = String, IntoIter: DoubleEndedIterator>) -> Self {
        let wrap = |cause, message| Some(Box::new(Self { kind, message, remedy: None, context: None, cause }));
        let outermost = chain.into_iter().rev().fold(None, wrap);
        let nothing = || Self { kind, message: String::new(), remedy: None, context: None, cause: None };
        outermost.map_or_else(nothing, |error| *error)
    }

    /// Any error, to be sent to another process.
    pub fn of(kind: ErrorKind, error: &dyn std::error::Error) -> Self {
        let chain: Vec<String> = error_chain::causes(error).map(ToString::to_string).collect();
        Self::new(kind, chain)
    }

    /// The kind of error in the other process.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The command that gives the host what it lacks, as [`Error::remedy`] has it.
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Information that explains the failure, if a node did not start.
    pub fn context(&self) -> Option<&FailureContext> {
        self.context.as_deref()
    }

    /// Its texts, outermost first.
    pub(crate) fn into_chain(self) -> Vec<String> {
        let mut chain = vec![self.message];
        let mut cause = self.cause;
        while let Some(error) = cause {
            chain.push(error.message);
            cause = error.cause;
        }
        chain
    }
}

impl From<&Error> for RemoteError {
    fn from(error: &Error) -> Self {
        let context = match error {
            Error::Start(failure) => Some(Box::new(failure.context())),
            _ => None,
        };
        Self { remedy: error.remedy().map(str::to_owned), context, ..Self::of(error.kind(), error) }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// All of it: the causes, and what explains the failure of a node.
impl fmt::Debug for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        error_chain::with_causes(self, f)?;
        self.context().map_or(Ok(()), |context| context.write(f))
    }
}

impl FailureContext {
    /// Writes it after an error, a line each.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, text) in [("QEMU's messages", &self.stderr), ("the end of the console", &self.console)] {
            if let Some(text) = text {
                write!(f, "\n{what}:\n  {}", text.replace('\n', "\n  "))?;
            }
        }
        self.leftovers.iter().try_for_each(|leftover| write!(f, "\nnot removed: {leftover}"))
    }
}

impl std::error::Error for RemoteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cluster::{Cause, StartFailure};
    use crate::net::NetError;
    use crate::plan::Step;

    #[test]
    fn an_error_arrives_with_its_causes_and_with_what_helps() {
        let remedy = Some("sudo chmod 0666 /dev/net/tun".to_owned());
        let cause = Cause::Net(NetError::Unsupported { what: "cannot open `/dev/net/tun`".to_owned(), remedy });
        let (console, stderr) = (Some("a panic".to_owned()), None);
        let failure = StartFailure { step: Step::Guest, cause, console, stderr, stopped: 0, leftovers: Vec::new() };
        let sent = RemoteError::from(&Error::Start(Arc::new(failure)));
        let came: RemoteError = serde_json::from_str(&serde_json::to_string(&sent).unwrap()).unwrap();
        let error = Error::Owner(came.clone());
        assert_eq!((error.kind(), error.remedy()), (ErrorKind::Host, Some("sudo chmod 0666 /dev/net/tun")));
        assert_eq!(came.context().and_then(|context| context.console.as_deref()), Some("a panic"));
        assert_eq!(came.into_chain(), ["cannot prepare QEMU and the guest", "cannot open `/dev/net/tun`"]);
    }
}
