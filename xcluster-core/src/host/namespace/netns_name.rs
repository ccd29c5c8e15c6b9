//! The choice of a network namespace, as data. Opens none.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error_chain;

/// The folder where `ip netns` and other programs keep named namespaces.
const NET_FILES: &str = "/run/netns";
/// The folder of their user namespaces. A separate one, since every file in the other counts as a network namespace.
const USER_FILES: &str = "/run/xcluster/userns";

/// The text between the user's name and the number.
const OF_USER: &str = "_xcluster";

/// The most bytes of a name: those of a file's name (`NAME_MAX`).
const NAME_MAX: usize = 255;

/// The network namespace of a cluster's links.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Netns {
    /// A private one, which is made at the start and ends with the owner.
    #[default]
    Private,
    /// A namespace that `xcluster nsadd` prepared.
    Named(NamedNetns),
    /// The namespace that the owner is in.
    Here,
}

/// `private`, `here`, or a name.
impl fmt::Display for Netns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => f.write_str("private"),
            Self::Named(name) => name.fmt(f),
            Self::Here => f.write_str("here"),
        }
    }
}

impl FromStr for Netns {
    type Err = NetnsNameError;

    fn from_str(text: &str) -> Result<Self, NetnsNameError> {
        match text {
            "private" => Ok(Self::Private),
            "here" => Ok(Self::Here),
            name => NamedNetns::new(name).map(Self::Named),
        }
    }
}

/// The name of a network namespace in a file, as `ip netns` lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamedNetns(String);

/// Why a text is not the name of a network namespace.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a network namespace: it is a file's name, without a slash")]
pub struct NetnsNameError(String);

error_chain::readable_debug!(NetnsNameError);

impl NamedNetns {
    /// Parses a name.
    ///
    /// # Errors
    /// A file cannot have the name.
    pub fn new(name: &str) -> Result<Self, NetnsNameError> {
        let plain = !name.is_empty()
            && name.len() <= NAME_MAX
            && !name.starts_with('.')
            && !name.contains(|c: char| c == '/' || c.is_control() || c.is_whitespace());
        if plain { Ok(Self(name.to_owned())) } else { Err(NetnsNameError(name.to_owned())) }
    }

    /// The namespace that `nsadd` makes for a user and a number: `alice_xcluster1`.
    ///
    /// # Errors
    /// The user's name cannot be part of a file's name.
    pub fn of_user(user: &str, index: u8) -> Result<Self, NetnsNameError> {
        Self::new(&format!("{user}{OF_USER}{index}"))
    }

    /// The number in a name from `nsadd`.
    pub fn index(&self) -> Option<u8> {
        self.0.rsplit_once(OF_USER)?.1.parse().ok()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file of the network namespace, in the folder of `ip netns`.
    pub fn net_file(&self) -> PathBuf {
        PathBuf::from(NET_FILES).join(&self.0)
    }

    /// The file of the user namespace that owns it.
    pub fn user_file(&self) -> PathBuf {
        PathBuf::from(USER_FILES).join(&self.0)
    }
}

impl fmt::Display for NamedNetns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for NamedNetns {
    type Error = NetnsNameError;

    fn try_from(name: String) -> Result<Self, NetnsNameError> {
        Self::new(&name)
    }
}

impl From<NamedNetns> for String {
    fn from(name: NamedNetns) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_files_name() {
        assert_eq!(NamedNetns::of_user("alice", 7).unwrap().as_str(), "alice_xcluster7");
        for bad in ["", "..", ".x", "a/b", "a b", "a\n"] {
            assert!(NamedNetns::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for text in ["private", "here", "alice_xcluster1"] {
            let netns: Netns = text.parse().unwrap();
            assert_eq!(netns.to_string(), text);
            let json = serde_json::to_string(&netns).unwrap();
            assert_eq!(serde_json::from_str::<Netns>(&json).unwrap(), netns);
        }
    }
}
