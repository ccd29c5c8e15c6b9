//! Copies files through the agent.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::channel::AnswerDeadline;
use super::{Agent, Copied};
use crate::guest::exec::ExecError;
use crate::guest::exec::command_stream::{CommandStream, Report};
use crate::guest::protocol::{CHUNK, ToGuest};

impl Agent {
    /// Writes a file of the guest, completely or not at all.
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
            _ => Err(wrong_answer()),
        }
    }

    /// Reads a file of the guest into the sink.
    pub(crate) async fn get(&self, path: &[u8], sink: &mut (impl AsyncWrite + Unpin)) -> Result<Copied, ExecError> {
        let mut command_stream = self.open(&ToGuest::Get { path: path.to_vec() }, AnswerDeadline::Copy)?;
        let Some(Report::Opened { mode }) = command_stream.next().await? else { return Err(wrong_answer()) };
        let mut bytes = 0;
        loop {
            match command_stream.next().await? {
                Some(Report::Data(_, chunk)) => {
                    bytes += chunk.len() as u64;
                    sink.write_all(&chunk).await.map_err(|source| of_host("cannot write the copy", source))?;
                }
                Some(Report::Complete { total }) if total == bytes => break,
                Some(Report::Complete { total }) => {
                    return Err(ExecError::Incomplete { what: format!("only {bytes} of {total} bytes arrived") });
                }
                _ => return Err(wrong_answer()),
            }
        }
        sink.flush().await.map_err(|source| of_host("cannot write the copy", source))?;
        Ok(Copied { bytes, mode })
    }
}

/// Sends the whole source and returns its length; `None` if the guest stopped reading, since its report then says why. If the
/// source fails, the end is not sent, so the guest discards the file.
async fn send(
    source: &mut (impl AsyncRead + Unpin),
    command_stream: &mut CommandStream,
) -> Result<Option<u64>, ExecError> {
    let Some(mut input) = command_stream.take_input() else { return Err(wrong_answer()) };
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = source.read(&mut buffer).await;
        match read.map_err(|source| of_host("cannot read the file to copy", source))? {
            0 => return Ok(Some(input.finish())),
            count => {
                if input.write_all(&buffer[..count]).await.is_err() {
                    return Ok(None);
                }
            }
        }
    }
}

fn of_host(what: &str, source: std::io::Error) -> ExecError {
    ExecError::Host { what: what.into(), source }
}

fn wrong_answer() -> ExecError {
    ExecError::Lost { reason: "its agent sent an answer that does not belong to a copy".into() }
}
