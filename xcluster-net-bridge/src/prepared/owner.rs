//! The user of a prepared namespace.

use std::io;

use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};

/// The user who may enter a prepared namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The name, which is part of the namespace's name.
    pub name: String,
    /// The user ID.
    pub uid: u32,
    /// The ID of the user's primary group.
    pub gid: u32,
}

/// Why a user cannot have a namespace.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum OwnerError {
    /// The host knows no such user.
    #[error("there is no user `{0}`")]
    Unknown(String),
    /// The list of users cannot be read.
    #[error("cannot look up user `{user}`")]
    Io {
        /// The name or ID.
        user: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

xcluster_core::error_chain::readable_debug!(OwnerError);

impl Owner {
    /// The user of this name.
    ///
    /// # Errors
    /// The user does not exist, or cannot be looked up.
    pub fn named(name: &str) -> Result<Self, OwnerError> {
        Self::found(name, User::from_name(name))
    }

    /// The user of this ID.
    ///
    /// # Errors
    /// The user does not exist, or cannot be looked up.
    pub fn of_uid(uid: u32) -> Result<Self, OwnerError> {
        Self::found(&uid.to_string(), User::from_uid(Uid::from_raw(uid)))
    }

    /// The effective user of this process.
    ///
    /// # Errors
    /// The user does not exist, or cannot be looked up.
    pub fn effective() -> Result<Self, OwnerError> {
        Self::of_uid(Uid::effective().as_raw())
    }

    fn found(asked: &str, answer: nix::Result<Option<User>>) -> Result<Self, OwnerError> {
        match answer {
            Ok(Some(user)) => Ok(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }),
            Ok(None) => Err(OwnerError::Unknown(asked.to_owned())),
            Err(errno) => Err(OwnerError::Io { user: asked.to_owned(), source: errno.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let root = Owner { name: "root".into(), uid: 0, gid: 0 };
        assert_eq!(Owner::named("root").unwrap(), root);
        assert_eq!(Owner::of_uid(0).unwrap(), root);
        assert!(matches!(Owner::named("no such user"), Err(OwnerError::Unknown(_))));
    }
}
