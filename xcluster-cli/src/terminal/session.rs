//! Copies bytes between the user and a stream until one side ends the session.

use std::io::{self, Write};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use super::input::{Event, Input};
use super::tty::Size;

/// Ctrl-], telnet's own escape key.
const ESCAPE: u8 = 0x1d;

/// While this many bytes wait to be sent, a file or pipe is not read further.
const PENDING_MAX: usize = 64 * 1024;

/// The side that ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The user, with the escape key or a signal.
    User,
    /// The other side.
    Remote,
}

/// The encoding of a stream.
pub(crate) trait TerminalProtocol {
    /// The other side sent `bytes`: adds the user's output to `data`, and the answer to the other side to `reply`.
    fn received(&mut self, bytes: &[u8], data: &mut Vec<u8>, reply: &mut Vec<u8>);

    /// The user typed `bytes`.
    fn typed(&mut self, bytes: &[u8], out: &mut Vec<u8>);

    /// The user's window has a new size.
    fn resized(&mut self, size: Size, out: &mut Vec<u8>);

    /// The user's input has ended: adds the notification for the other side.
    fn ended(&mut self, out: &mut Vec<u8>);
}

/// No encoding. A serial line has neither window sizes nor an end of input.
#[derive(Debug)]
pub(crate) struct Plain;

impl TerminalProtocol for Plain {
    fn received(&mut self, bytes: &[u8], data: &mut Vec<u8>, _: &mut Vec<u8>) {
        data.extend_from_slice(bytes);
    }

    fn typed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
    }

    fn resized(&mut self, _: Size, _: &mut Vec<u8>) {}

    fn ended(&mut self, _: &mut Vec<u8>) {}
}

/// Copies bytes until the user leaves or the other side closes.
pub(crate) async fn join(
    stream: impl AsyncRead + AsyncWrite,
    mut protocol: impl TerminalProtocol,
    mut input: Input,
    mut output: impl Write,
) -> io::Result<End> {
    let (mut reader, mut writer) = split(stream);
    let mut buffer = vec![0; 16 * 1024];
    let (mut data, mut pending) = (Vec::new(), Vec::new());
    let mut listening = true;
    loop {
        // The keyboard is always read, even if the other side reads nothing: the escape key must work.
        let room = input.interactive || pending.len() < PENDING_MAX;
        tokio::select! {
            length = reader.read(&mut buffer) => {
                let length = match length {
                    Ok(0) => return Ok(End::Remote),
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(End::Remote),
                    Err(error) => return Err(error),
                };
                protocol.received(&buffer[..length], &mut data, &mut pending);
                output.write_all(&data)?;
                output.flush()?;
                data.clear();
            }
            length = writer.write(&pending), if !pending.is_empty() => {
                match length {
                    Ok(length) => drop(pending.drain(..length)),
                    // The other side has closed; its earlier output must still be read.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => pending.clear(),
                    Err(error) => return Err(error),
                }
            }
            event = input.events.recv(), if listening && room => match event {
                Some(Event::Bytes(bytes)) => {
                    let escape = bytes.iter().position(|byte| input.interactive && *byte == ESCAPE);
                    protocol.typed(&bytes[..escape.unwrap_or(bytes.len())], &mut pending);
                    if escape.is_some() {
                        return Ok(End::User);
                    }
                }
                Some(Event::Window(size)) => protocol.resized(size, &mut pending),
                Some(Event::End) => protocol.ended(&mut pending),
                Some(Event::Leave) => return Ok(End::User),
                None => listening = false,
            },
        }
    }
}

#[cfg(test)]
mod tests;
