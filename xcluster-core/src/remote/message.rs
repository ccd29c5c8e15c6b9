//! What is asked of an owner and what it answers: JSON, its length before it.

use std::io;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::cluster::RemoteError;
use crate::guest::exec::Command;
use crate::name::{NetId, NodeId};
use crate::plan::NodeBoot;

/// The name of the socket in a cluster's folder.
pub(super) const SOCKET: &str = "control";

/// The version of this language. Both sides are of one user and mostly of one build, so another version is an error, not
/// something to negotiate.
pub(super) const VERSION: u32 = 2;

/// The longest message, in bytes: a command may come with its input.
const MESSAGE_MAX: u32 = 64 * 1024 * 1024;

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The version of the language that the asker speaks.
    pub(super) version: u32,
    pub(super) verb: Verb,
}

/// What is asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verb {
    /// The cluster's status.
    Status,
    /// Its plan.
    Plan,
    /// A node's boot; answered with its status when it is ready. It is called off when the asker hangs up.
    Boot { boot: NodeBoot },
    /// A node's end.
    StopNode { node: NodeId },
    /// A NIC for a QEMU of the asker's.
    Wire { node: NodeId, net: NetId },
    /// The end of that wiring.
    Unwire { node: NodeId, net: NetId },
    /// Its end; answered when nothing is left.
    Stop,
    /// Events from the beginning, a message each; the connection closes after the last.
    Events,
    /// A command on a node; frames follow.
    Exec { node: NodeId, command: Command },
    /// A file to a node. Both sides have the same files, so only names are sent.
    Put { node: NodeId, local: PathBuf, remote: PathBuf },
    /// A file from a node.
    Get { node: NodeId, remote: PathBuf, local: PathBuf },
    /// A node's console; its bytes follow, both ways.
    Console { node: NodeId },
    /// What a node's console has shown.
    ConsoleText { node: NodeId },
    /// A connection to a TCP port of a node; its descriptor follows.
    Connect { node: NodeId, port: u16 },
    /// The cluster's network namespace; the descriptors that the answer names follow.
    Namespace,
}

/// Which descriptors of a network namespace follow an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// None: there is nowhere to go.
    Nowhere,
    /// The network's.
    Net,
    /// The network's, then that of the user namespace that it belongs to.
    NetAndUser,
}

/// An answer: the value asked for, or why not.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer<T> {
    Ok(T),
    Error(RemoteError),
}

/// Sends a message.
pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length <= MESSAGE_MAX).ok_or_else(too_long)?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(json);
    stream.write_all(&bytes).await
}

/// Reads a message, and not a byte of what follows it, which belongs to somebody else. An end of the stream before it is
/// `UnexpectedEof`.
pub(super) async fn receive<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = stream.read_u32_le().await?;
    if length > MESSAGE_MAX {
        return Err(too_long());
    }
    // The memory is only taken as the bytes arrive: the length is what somebody says.
    let mut json = Vec::new();
    if stream.take(length.into()).read_to_end(&mut json).await? < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&json)?)
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message that is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_follows_a_message_is_left_alone() {
        let mut bytes = Vec::new();
        send(&mut bytes, &Answer::Ok(7)).await.unwrap();
        bytes.extend(b"rest");
        let mut stream = bytes.as_slice();
        assert!(matches!(receive(&mut stream).await.unwrap(), Answer::Ok(7)));
        assert_eq!(stream, b"rest");
    }

    #[tokio::test]
    async fn what_is_no_message_is_an_error_and_not_memory() {
        for bytes in [&b"\xff\xff\xff\xff{"[..], b"\x00\x00\x00\x03{}", b"\x02\x00\x00\x00{", b"\x02\x00"] {
            let mut stream = bytes;
            receive::<Request>(&mut stream).await.unwrap_err();
        }
    }
}
