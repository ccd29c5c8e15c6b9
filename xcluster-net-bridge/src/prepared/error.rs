//! Why a namespace cannot be prepared or removed, and the command that helps.

use std::io;
use std::path::{Path, PathBuf};

use xcluster_core::ErrorKind;
use xcluster_core::host::NamespaceError;
use xcluster_core::host::namespace::{NamedNetns, NetnsNameError};

use super::index::Index;
use xcluster_core::netlink::NetlinkError;

/// Why a namespace cannot be prepared or removed. The text reads after "cannot prepare network namespace 1: ".
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PreparedError {
    /// The caller may not change the host's network.
    #[error("this needs root")]
    NotRoot,
    /// All obstacles. Nothing was changed.
    #[error("{}", list(.0))]
    Obstacles(Vec<Obstacle>),
    /// The user's name cannot be part of a file name.
    #[error(transparent)]
    Name(#[from] NetnsNameError),
    /// Other users could have written the files there.
    #[error("`{}` is no folder that only root can write to", .0.display())]
    NotOurs(PathBuf),
    /// The namespace cannot be made or opened.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// `nft` refuses a script.
    #[error("nft cannot {action}: {said}")]
    Nft {
        /// The action that failed.
        action: String,
        /// The end of its standard error.
        said: String,
    },
    /// A system call failed.
    #[error("cannot {action}")]
    Io {
        /// The action that failed.
        action: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The kernel refuses a link, an address or a route.
    #[error(transparent)]
    Network(Box<dyn std::error::Error + Send + Sync>),
    /// The work failed, and not all of it could be undone.
    #[error("left behind: {}", .leftovers.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Leftovers {
        /// What could not be undone.
        leftovers: Vec<PreparedError>,
        /// The error before the undoing, if there was one.
        #[source]
        source: Option<Box<PreparedError>>,
    },
}

xcluster_core::error_chain::readable_debug!(PreparedError);

/// Something that prevents the work.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// It belongs to another user, so it is not removed.
    #[error("`{by}` belongs to {owner}")]
    NotYours {
        /// The namespace with the number.
        by: NamedNetns,
        /// Its owner.
        owner: String,
        /// The number.
        index: Index,
    },
    /// Another user has the number.
    #[error("{index} is the number of `{by}`, which belongs to {owner}")]
    Taken {
        /// The number.
        index: Index,
        /// The namespace with the number.
        by: NamedNetns,
        /// Its owner.
        owner: String,
        /// A free number.
        free: Option<Index>,
    },
    /// A link has a name that `nsadd` needs.
    #[error("there is a link `{0}` that was not made by `nsadd`")]
    Link(String),
    /// A file has a name that `nsadd` needs.
    #[error("there is a file `{}` that was not made by `nsadd`", .0.display())]
    File(PathBuf),
    /// A table of nftables has a name that `nsadd` needs.
    #[error("there is a table `inet {0}` of nftables that was not made by `nsadd`")]
    Table(String),
    /// The host has an address that one end of the link needs.
    #[error("this host already has the address {0}, which the link to the namespace needs")]
    Address(std::net::IpAddr),
    /// The namespace exists with another property than requested.
    #[error("it exists with {what} {is}, not {request}")]
    Different {
        /// The property.
        what: &'static str,
        /// Its value.
        is: String,
        /// The requested value.
        request: String,
        /// Its number.
        index: Index,
    },
    /// The program `nft` is missing, which sets up masquerading.
    #[error("there is no program `nft`")]
    NoNft,
    /// Not all links and both IP versions can have this MTU.
    #[error("{0} is not a valid MTU for a net: it is 1280 to 65535")]
    Mtu(u16),
}

xcluster_core::error_chain::readable_debug!(Obstacle);

impl Obstacle {
    /// The command that helps, if one is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Taken { free, .. } => free.map(|free| format!("sudo xcluster nsadd {free}")),
            Self::NotYours { index, owner, .. } => Some(format!("sudo xcluster nsdel {index} --owner {owner}")),
            Self::Link(link) => Some(format!("sudo ip link delete {link}")),
            Self::File(file) => match (file.parent()?.ends_with("netns"), file.file_name()?.to_str()?) {
                (true, name) => Some(format!("sudo ip netns delete {name}")),
                (false, _) => Some(format!("sudo rm {}", file.display())),
            },
            Self::Table(table) => Some(format!("sudo nft delete table inet {table}")),
            Self::Different { index, .. } => Some(format!("sudo xcluster nsdel {index}")),
            Self::NoNft => Some("sudo apt-get install nftables".to_owned()),
            Self::Address(_) | Self::Mtu(_) => None,
        }
    }

    const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoNft => ErrorKind::Host,
            Self::Different { .. } | Self::Mtu(_) => ErrorKind::Invalid,
            _ => ErrorKind::InUse,
        }
    }
}

impl PreparedError {
    /// The kinds that a caller may treat differently.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Obstacles(obstacles) => obstacles.first().map_or(ErrorKind::Other, Obstacle::kind),
            Self::Name(_) => ErrorKind::Invalid,
            Self::Namespace(NamespaceError::Forbidden { .. }) => ErrorKind::Host,
            Self::Leftovers { source: Some(source), .. } => source.kind(),
            _ => ErrorKind::Other,
        }
    }

    /// The commands that help, in the order to type them.
    pub fn remedies(&self) -> Vec<String> {
        match self {
            Self::Obstacles(obstacles) => obstacles.iter().filter_map(Obstacle::remedy).collect(),
            Self::Namespace(error) => error.remedy().into_iter().collect(),
            Self::Leftovers { source: Some(source), .. } => source.remedies(),
            _ => Vec::new(),
        }
    }

    /// The system's error for an action on a file.
    pub(super) fn at(action: &str, path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let action = format!("{action} `{}`", path.display());
        move |source| Self::Io { action: action.clone(), source }
    }
}

impl From<NetlinkError> for PreparedError {
    fn from(failure: NetlinkError) -> Self {
        Self::Network(failure.into())
    }
}

fn list(obstacles: &[Obstacle]) -> String {
    match obstacles {
        [one] => one.to_string(),
        many => many.iter().fold(format!("{} obstacles", many.len()), |text, one| format!("{text}\n  {one}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_the_way_is_reported_with_the_commands_against_it() {
        let index = Index::new(1).unwrap();
        let by = NamedNetns::of_user("bob", 1).unwrap();
        let free = Some(Index::new(2).unwrap());
        let taken = Obstacle::Taken { index, by, owner: "bob".into(), free };
        let error = PreparedError::Obstacles(vec![taken, Obstacle::NoNft]);
        assert_eq!(
            error.to_string(),
            "2 obstacles\n  1 is the number of `bob_xcluster1`, which belongs to bob\n  there is no program `nft`"
        );
        assert_eq!(error.remedies(), ["sudo xcluster nsadd 2", "sudo apt-get install nftables"]);
        assert_eq!(error.kind(), ErrorKind::InUse);
    }
}
