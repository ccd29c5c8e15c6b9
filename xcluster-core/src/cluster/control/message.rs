//! Requests and answers: JSON, its length before it.

use std::io;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::cluster::error::RemoteError;
use crate::guest::exec::Command;
use crate::name::{NetId, NodeId};
use crate::plan::NodeBoot;

/// The name of the socket in a cluster's folder.
pub(super) const SOCKET: &str = "control";

/// The version of this protocol. Both sides are of one user and mostly of one build, so another version is an error, not
/// something to negotiate.
pub(super) const VERSION: u32 = 3;

/// The longest message, in bytes: a command may come with its input.
const MESSAGE_MAX: u32 = 64 * 1024 * 1024;

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The client's version of the protocol.
    pub(super) version: u32,
    pub(super) verb: Verb,
}

/// A request before its verb is read.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    pub(super) version: u32,
    pub(super) verb: serde_json::Value,
}

/// A request of a client.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verb {
    /// The cluster's status.
    Status,
    /// Its plan, then each new one, a message each; the connection closes when the cluster has ended.
    Plans,
    /// Answered when the start is over.
    Ready,
    /// A node's boot; answered when it is ready. It is cancelled when the client hangs up.
    Boot {
        boot: NodeBoot,
    },
    /// The immediate end of a node's QEMU.
    KillNode {
        node: NodeId,
    },
    /// A node's stop.
    StopNode {
        node: NodeId,
    },
    /// A node's status.
    NodeStatus {
        node: NodeId,
    },
    /// A port for a QEMU of another process.
    SetUpPort {
        node: NodeId,
        net: NetId,
    },
    /// The teardown of such a port.
    TearDownPort {
        node: NodeId,
        net: NetId,
    },
    /// The cluster's end; answered when nothing is left.
    Stop,
    /// Events from the beginning, a message each; the connection closes after the last.
    Events,
    /// A command on a node; frames follow.
    Exec {
        node: NodeId,
        command: Command,
    },
    /// A file to a node. Both sides have the same files, so only names are sent.
    CopyTo {
        node: NodeId,
        local: PathBuf,
        remote: PathBuf,
    },
    /// A file from a node.
    CopyFrom {
        node: NodeId,
        remote: PathBuf,
        local: PathBuf,
    },
    /// A node's console; its bytes follow, both ways.
    Console {
        node: NodeId,
    },
    /// The end of what a node's console has shown.
    ConsoleText {
        node: NodeId,
    },
    QemuMessages {
        node: NodeId,
    },
    /// The address of a TCP port of a node.
    Address {
        node: NodeId,
        port: u16,
    },
    /// A connection to a TCP port of a node; its descriptor follows.
    Connect {
        node: NodeId,
        port: u16,
    },
    /// A command for a node's monitor.
    Qmp {
        node: NodeId,
        command: String,
        arguments: serde_json::Value,
    },
    /// The cluster's network namespace; the descriptors that the answer names follow.
    Namespace,
}

/// Which descriptors of a network namespace follow an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NamespaceFiles {
    /// None: there is no namespace.
    None,
    /// The network's.
    Net,
    /// The network's, then that of the user namespace that owns it.
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

/// Reads a message, and not a byte of what follows it. An end of the stream before it is `UnexpectedEof`.
pub(super) async fn receive<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = stream.read_u32_le().await?;
    if length > MESSAGE_MAX {
        return Err(too_long());
    }
    // The memory is only taken as the bytes arrive: the length may be wrong.
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
    async fn bytes_after_a_message_are_not_read() {
        let mut bytes = Vec::new();
        send(&mut bytes, &Answer::Ok(7)).await.unwrap();
        bytes.extend(b"rest");
        let mut stream = bytes.as_slice();
        assert!(matches!(receive(&mut stream).await.unwrap(), Answer::Ok(7)));
        assert_eq!(stream, b"rest");
    }

    #[tokio::test]
    async fn an_invalid_message_is_an_error_and_takes_no_memory() {
        for bytes in [&b"\xff\xff\xff\xff{"[..], b"\x00\x00\x00\x03{}", b"\x02\x00\x00\x00{", b"\x02\x00"] {
            let mut stream = bytes;
            receive::<Request>(&mut stream).await.unwrap_err();
        }
    }
}
