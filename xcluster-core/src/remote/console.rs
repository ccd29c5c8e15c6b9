//! A console of another process's cluster, at the asker's end.

use std::io;
use std::pin::Pin;
use std::task::{self, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;

/// A joined console of a node of another process's cluster. What the console showed before comes first.
///
/// As a stream it ends when the node or its owner has ended; it cannot be closed in one direction.
#[derive(Debug)]
pub struct RemoteConsole {
    stream: UnixStream,
}

impl RemoteConsole {
    /// The console whose bytes go over this stream.
    pub(super) const fn new(stream: UnixStream) -> Self {
        Self { stream }
    }

    /// What the console shows next, or none when the node or its owner has ended.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 4096];
        let count = self.stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        buffer.truncate(count);
        Some(buffer)
    }

    /// Types on the console. False if the node has ended.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }
}

impl AsyncRead for RemoteConsole {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for RemoteConsole {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut task::Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
