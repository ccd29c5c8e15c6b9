//! Files in and out through the agent. Where they are on the host is not known here.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Agent;
use super::channel::AnswerDeadline;
use super::protocol::{CHUNK, ToGuest};
use crate::guest::copy::Copied;
use crate::guest::exec::ExecError;
use crate::guest::exec::command_stream::{CommandStream, Report};

impl Agent {
    /// Writes a file of the guest. It is in its place when this has succeeded, and nothing is there when it has not.
    pub(crate) async fn put(
        &self,
        source: &mut (impl AsyncRead + Unpin),
        path: &[u8],
        mode: u32,
    ) -> Result<Copied, ExecError> {
        let mut command_stream = self.open(&ToGuest::Put { path: path.to_vec(), mode }, AnswerDeadline::Copy)?;
        let sent = send(source, &mut command_stream).await?;
        match command_stream.next().await? {
            Some(Report::Complete { total }) if sent.is_none_or(|sent| sent == total) => {
                Ok(Copied { bytes: total, mode })
            }
            _ => Err(confused()),
        }
    }

    /// Reads a file of the guest into the sink, and says what it was.
    pub(crate) async fn get(&self, path: &[u8], sink: &mut (impl AsyncWrite + Unpin)) -> Result<Copied, ExecError> {
        let mut command_stream = self.open(&ToGuest::Get { path: path.to_vec() }, AnswerDeadline::Copy)?;
        let Some(Report::Opened { mode }) = command_stream.next().await? else { return Err(confused()) };
        let mut bytes = 0;
        loop {
            match command_stream.next().await? {
                Some(Report::Data(_, chunk)) => {
                    bytes += chunk.len() as u64;
                    sink.write_all(&chunk).await.map_err(|source| local("cannot write the copy", source))?;
                }
                Some(Report::Complete { total }) if total == bytes => break,
                Some(Report::Complete { total }) => {
                    return Err(ExecError::Incomplete { what: format!("{bytes} of {total} bytes arrived") });
                }
                _ => return Err(confused()),
            }
        }
        sink.flush().await.map_err(|source| local("cannot write the copy", source))?;
        Ok(Copied { bytes, mode })
    }
}

/// Sends all of the source, and says how much it was. The guest stops listening when it cannot go on; its report says why,
/// and how much it was does not matter. A source that fails leaves the end unsaid, so that the guest forgets the file.
async fn send(
    source: &mut (impl AsyncRead + Unpin),
    command_stream: &mut CommandStream,
) -> Result<Option<u64>, ExecError> {
    let Some(mut input) = command_stream.take_input() else { return Err(confused()) };
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = source.read(&mut buffer).await;
        match read.map_err(|source| local("cannot read what is to be copied", source))? {
            0 => return Ok(Some(input.finish())),
            count => {
                if input.write_all(&buffer[..count]).await.is_err() {
                    return Ok(None);
                }
            }
        }
    }
}

fn local(what: &str, source: std::io::Error) -> ExecError {
    ExecError::Local { what: what.into(), source }
}

fn confused() -> ExecError {
    ExecError::Lost { reason: "its agent answered a copy as if it were something else".into() }
}
