//! The errors of plugins. They name the plugin, and the command that helps.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::abi::ABI;
use super::message;
use super::tokens::BadToken;
use super::watchdog::NoResult;
use crate::error_chain;
use crate::net::NetError;
use crate::topology::Problems;

/// Why a plugin cannot be used. The text stands alone.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// No plugin has the name.
    #[error("there is no plugin `{name}`: no {file} in {}; there {}", folders(looked), there_are(there))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The file that was looked for.
        file: String,
        /// The folders that were searched.
        looked: Vec<PathBuf>,
        /// The names of the plugins in them.
        there: Vec<String>,
    },
    /// A plugin cannot have such a name.
    #[error(
        "`{0}` is not the name of a plugin: a letter, then letters, digits and `-`, all lower case, at most 32 bytes"
    )]
    Name(String),
    /// The file cannot be opened.
    #[error("cannot open plugin `{path}`")]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Another user could replace or change the file.
    #[error("plugin `{path}` is not safe to load: {}", why.join(", and "))]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// All problems of the file and of the folders above it.
        why: Vec<String>,
        /// The command that helps, if one does.
        remedy: Option<String>,
    },
    /// The file is not a plugin that this library can use.
    #[error("`{path}` is not a plugin for this xcluster: {why}")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The plugin refuses its settings.
    #[error("plugin `{plugin}` does not take its settings: {problems}")]
    Settings {
        /// Its name.
        plugin: String,
        /// Every setting that it refuses.
        problems: Problems,
    },
    /// The plugin failed a request.
    #[error("plugin `{plugin}` {what}")]
    Failed {
        /// Its name, or its file while the name is not known.
        plugin: String,
        /// The failure.
        what: String,
    },
}

error_chain::readable_debug!(PluginError);

impl PluginError {
    /// The command that helps, if one is known.
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Unsafe { remedy, .. } => remedy.as_deref(),
            _ => None,
        }
    }

    pub(super) fn failed(plugin: impl Into<String>, fault: &Fault) -> Self {
        Self::Failed { plugin: plugin.into(), what: fault.to_string() }
    }
}

/// A failure of a plugin. The text reads after its name.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("did not answer `{call}` within {} s; it has been left to itself", limit.as_secs_f32())]
    Late { call: &'static str, limit: Duration },
    #[error("was not asked for `{call}`: too many earlier calls still hang in it")]
    Hanging { call: &'static str },
    #[error("was not asked for `{call}`: an earlier call about the same port or net did not end within {} s", limit.as_secs_f32())]
    Busy { call: &'static str, limit: Duration },
    #[error("could not be asked for `{call}`: {source}")]
    Thread { call: &'static str, source: io::Error },
    #[error("cannot be told `{call}`: {source}")]
    Unspeakable { call: &'static str, source: serde_json::Error },
    #[error("answered `{call}` with {what}")]
    InvalidReply { call: &'static str, what: InvalidReply },
    #[error("made no instance, and gave no reason")]
    NoInstance,
    #[error("did not make an instance: {}", said(.0))]
    Refused(message::Error),
    #[error("answered `{call}` with an error: {}", said(error))]
    Said { call: &'static str, error: message::Error },
}

/// An answer that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidReply {
    #[error("nothing")]
    Nothing,
    #[error("a length of {0} bytes and nothing there")]
    Null(usize),
    #[error("{0} bytes, and the most is {max}", max = super::reply::MAX)]
    TooMuch(usize),
    #[error("text that is not UTF-8")]
    NotText,
    #[error("what is no reply: {0}")]
    Json(serde_json::Error),
    #[error("no capabilities for nets of the kind `{0}`")]
    Silent(crate::topology::NetKind),
    #[error("an arg with a zero byte, which no option has")]
    Zero,
    #[error("the args `{0} …`, but the first arg for QEMU must begin with `-`")]
    NoOption(String),
    #[error("{0}")]
    Token(BadToken),
    #[error("a place in the cluster's network namespace, which it has not")]
    NoPlace,
}

impl Fault {
    pub(super) fn no_result(call: &'static str, no_result: NoResult) -> Self {
        match no_result {
            NoResult::Hanging => Self::Hanging { call },
            NoResult::Late(limit) => Self::Late { call, limit },
            NoResult::Thread(source) => Self::Thread { call, source },
        }
    }
}

/// The reason for a library with another version of the interface.
pub(super) fn other_version(theirs: u32) -> String {
    let age = if theirs < ABI { "an older" } else { "a newer" };
    format!("it was made for {age} interface, version {theirs}; this one is version {ABI}, so it must be built anew")
}

/// A failure of a plugin as an error of the backend API.
pub(super) fn net_error(plugin: &str, fault: Fault) -> NetError {
    match fault {
        Fault::Said { error, .. } => of_plugin(error),
        fault => NetError::Other { message: format!("plugin `{plugin}` {fault}"), source: None },
    }
}

fn of_plugin(error: message::Error) -> NetError {
    use message::Error;
    match error {
        Error::Unsupported { what, remedy } => NetError::Unsupported { what, remedy },
        Error::Refused { message } => NetError::Refused(message),
        Error::Conflict { object } => NetError::Conflict { object },
        Error::InUse { what, by } => NetError::InUse { what, by },
        Error::Io { action, errno } => NetError::Io { action, source: io::Error::from_raw_os_error(errno) },
        Error::Settings { .. } => NetError::Refused(said(&error)),
        Error::Panicked { .. } | Error::Other { .. } => NetError::Other { message: said(&error), source: None },
    }
}

/// An error of a plugin, on one line.
fn said(error: &message::Error) -> String {
    use message::Error;
    match error {
        Error::Unsupported { what, .. } => what.clone(),
        Error::Refused { message } | Error::Other { message } => message.clone(),
        Error::Conflict { object } => format!("`{object}` is there already and is not ours"),
        Error::InUse { what, by } => format!("{what} is in use by {by}"),
        Error::Io { action, errno } => format!("cannot {action}: {}", io::Error::from_raw_os_error(*errno)),
        Error::Settings { problems } => {
            let each = problems.iter().map(|problem| match problem.place.as_str() {
                "" => problem.message.clone(),
                place => format!("{place}: {}", problem.message),
            });
            each.collect::<Vec<_>>().join("; ")
        }
        Error::Panicked { message } => format!("a panic: {message}"),
    }
}

fn folders(looked: &[PathBuf]) -> String {
    let looked: Vec<String> = looked.iter().map(|folder| format!("`{}`", folder.display())).collect();
    if looked.is_empty() { "no folder at all".to_owned() } else { looked.join(", ") }
}

fn there_are(there: &[String]) -> String {
    match there {
        [] => "are none".to_owned(),
        [one] => format!("is `{one}`"),
        many => format!("are {}", many.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}
