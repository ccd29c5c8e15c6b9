//! A command that runs for another process: both ends of its frames. Credits bound the bytes under way in each direction, so
//! that a slow reader holds up its own command and nothing else.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};

use super::frame::{self, Frame, Reader};
use crate::cluster::error::{ErrorKind, RemoteError};
use crate::guest::exec::command_stream::{CommandStream, Report, RequestSender, StreamRequest};
use crate::guest::exec::{Command, Event, ExecError, Execution, StdinWriter};
use crate::guest::protocol::{Stream, WINDOW, cost};

/// The owner's end: passes events on until the command has ended or the client hangs up. Signals are taken also from a client
/// that does not read the output: that is when a user sends one.
pub(super) async fn serve(stream: UnixStream, mut execution: Execution) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut frames = Reader::new(reader);
    let (input, inputs) = mpsc::unbounded_channel();
    let mut input = Some(input);
    let (taken, mut credits) = mpsc::unbounded_channel();
    if let Some(stdin) = execution.take_stdin() {
        tokio::spawn(feed(stdin, inputs, taken));
    }
    let mut pending = Vec::new();
    let mut ended = false;
    while !(ended && pending.is_empty()) {
        tokio::select! {
            written = writer.write(&pending), if !pending.is_empty() => drop(pending.drain(..written?)),
            event = execution.next(), if pending.is_empty() && !ended => {
                let (frame, last) = frame_of(event)?;
                ended = last;
                frame.map_or(Ok(()), |frame| frame::encode(frame, &mut pending))?;
            }
            Some(frame) = credits.recv() => frame::encode(frame, &mut pending)?,
            frame = frames.next() => match frame? {
                Some(Frame::Stdin(bytes)) => {
                    // The command may have ended its input already.
                    let _ = input.as_ref().map(|input| input.send(bytes));
                }
                Some(Frame::Eof) => input = None,
                Some(Frame::Signal(number)) => execution.signal(number),
                // The client is gone; dropping the execution kills the command.
                Some(_) | None => return Ok(()),
            },
        }
    }
    Ok(())
}

/// The frame of an event, and whether it is the last.
fn frame_of(event: Result<Option<Event>, ExecError>) -> io::Result<(Option<Frame>, bool)> {
    Ok(match event {
        Ok(Some(Event::Stdout(bytes))) => (Some(Frame::Stdout(bytes)), false),
        Ok(Some(Event::Stderr(bytes))) => (Some(Frame::Stderr(bytes)), false),
        Ok(Some(Event::Exited(status))) => (Some(Frame::Exited(serde_json::to_vec(&status)?)), true),
        Ok(None) => (None, true),
        Err(error) => (Some(Frame::Failed(serde_json::to_vec(&RemoteError::of(ErrorKind::Exec, &error))?)), true),
    })
}

/// Writes input to the command and reports how much it took.
async fn feed(
    mut stdin: StdinWriter,
    mut inputs: mpsc::UnboundedReceiver<Vec<u8>>,
    taken: mpsc::UnboundedSender<Frame>,
) {
    while let Some(bytes) = inputs.recv().await {
        let frame = match stdin.write_all(&bytes).await {
            Ok(()) => Frame::Credit(cost(bytes.len())),
            Err(_) => Frame::InputClosed,
        };
        let closed = frame == Frame::InputClosed;
        if taken.send(frame).is_err() || closed {
            return;
        }
    }
}

/// The client's end: an execution like any other, fed by tasks of the current runtime.
pub(super) fn follow(stream: UnixStream, command: &Command) -> Execution {
    let (reader, writer) = stream.into_split();
    let (reports, reported) = mpsc::unbounded_channel();
    let (order, ordered) = mpsc::unbounded_channel();
    let credits = Arc::new(Semaphore::new(WINDOW as usize));
    let window = Arc::new(Semaphore::new(WINDOW as usize));
    let reading = tokio::spawn(read(Reader::new(reader), reports, window.clone(), credits.clone()));
    tokio::spawn(async move {
        write(writer, ordered).await;
        // The last order was given: with the reader, the stream is closed, which the owner takes for the end.
        reading.abort();
    });
    let orders = RequestSender::new(move |given| match given {
        // At once, and not behind input that the owner only takes once it is rid of output.
        StreamRequest::Consumed(count) => window.add_permits(count as usize),
        given => drop(order.send(given)),
    });
    Execution::new(CommandStream::new(orders, reported, Some(credits)), command)
}

async fn read(
    mut frames: Reader<OwnedReadHalf>,
    reports: mpsc::UnboundedSender<Result<Report, ExecError>>,
    window: Arc<Semaphore>,
    credits: Arc<Semaphore>,
) {
    loop {
        let report = match frames.next().await {
            Ok(Some(Frame::Stdout(bytes))) => data(Stream::Stdout, bytes, &window).await,
            Ok(Some(Frame::Stderr(bytes))) => data(Stream::Stderr, bytes, &window).await,
            Ok(Some(Frame::Credit(count))) => {
                credits.add_permits(count.min(WINDOW) as usize);
                continue;
            }
            Ok(Some(Frame::InputClosed)) => {
                credits.close();
                continue;
            }
            Ok(Some(Frame::Exited(status))) => serde_json::from_slice(&status).map(Report::Ended).map_err(garbled),
            Ok(Some(Frame::Failed(error))) => Err(serde_json::from_slice(&error).map_or_else(garbled, exec_error)),
            Ok(Some(_)) => Err(ExecError::Lost { reason: "its owner uses another protocol".into() }),
            Ok(None) => Err(ExecError::Lost { reason: "the cluster's owner has ended".into() }),
            Err(error) => Err(garbled(error)),
        };
        let last = !matches!(report, Ok(Report::Data(..)));
        if last {
            credits.close();
        }
        if reports.send(report).is_err() || last {
            return;
        }
    }
}

async fn data(stream: Stream, bytes: Vec<u8>, window: &Semaphore) -> Result<Report, ExecError> {
    // Given back when the bytes have been consumed.
    if let Ok(permits) = window.acquire_many(cost(bytes.len())).await {
        permits.forget();
    }
    Ok(Report::Data(stream, bytes))
}

/// Passes orders on until the last one.
async fn write(mut writer: OwnedWriteHalf, mut orders: mpsc::UnboundedReceiver<StreamRequest>) {
    while let Some(order) = orders.recv().await {
        let frame = match order {
            StreamRequest::Data(bytes) => Frame::Stdin(bytes),
            StreamRequest::Eof { .. } => Frame::Eof,
            StreamRequest::Signal(number) => Frame::Signal(number),
            StreamRequest::Consumed(_) => continue,
            StreamRequest::Cancel => return,
        };
        // The owner hangs up as soon as the command has ended. What it said until then is still to be read.
        let _ = frame::write(&mut writer, frame).await;
    }
}

fn garbled(error: impl std::fmt::Display) -> ExecError {
    ExecError::Lost { reason: format!("the cluster's owner cannot be understood: {error}") }
}

fn exec_error(error: RemoteError) -> ExecError {
    let mut chain = error.into_chain().into_iter();
    let what = chain.next().unwrap_or_default();
    let causes: Vec<String> = chain.collect();
    if causes.is_empty() {
        return ExecError::Incomplete { what };
    }
    ExecError::Refused { what, source: io::Error::other(causes.join(": ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::exec::Status;
    use crate::guest::protocol::CHUNK;

    #[tokio::test]
    async fn a_signal_is_taken_from_a_client_that_does_not_read() {
        let (client, owner) = UnixStream::pair().unwrap();
        let (reports, reported) = mpsc::unbounded_channel();
        let (order, mut orders) = mpsc::unbounded_channel();
        let orders_of = RequestSender::new(move |given| drop(order.send(given)));
        let execution = Execution::new(CommandStream::new(orders_of, reported, None), &Command::shell("yes"));
        // More than any socket holds.
        for _ in 0..1000 {
            reports.send(Ok(Report::Data(Stream::Stdout, vec![b'y'; CHUNK]))).unwrap();
        }
        let served = tokio::spawn(serve(owner, execution));
        client.readable().await.unwrap();
        let (_unread, mut writer) = client.into_split();
        frame::write(&mut writer, Frame::Signal(2)).await.unwrap();
        while !matches!(orders.recv().await, Some(StreamRequest::Signal(2))) {}
        served.abort();
    }

    #[tokio::test]
    async fn a_result_is_not_lost_when_the_owner_hangs_up_before_all_input_was_sent() {
        let (ours, mut owner) = UnixStream::pair().unwrap();
        let mut execution = follow(ours, &Command::shell("head -c1").stream_stdin());
        // More than is under way at a time, so that the end is still to be read when the input is refused.
        let count = WINDOW.div_ceil(cost(CHUNK)) + 2;
        let said = tokio::spawn(async move {
            for _ in 0..count {
                frame::write(&mut owner, Frame::Stdout(vec![b'x'; CHUNK])).await.unwrap();
            }
            let status = serde_json::to_vec(&Status::Code(0)).unwrap();
            frame::write(&mut owner, Frame::Exited(status)).await.unwrap();
            owner.shutdown().await.unwrap();
        });
        said.await.unwrap();
        let mut stdin = execution.take_stdin().unwrap();
        stdin.write_all(b"more").await.unwrap();
        drop(stdin);
        // Until the input was refused.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let output = execution.output().await.unwrap();
        assert_eq!((output.status, output.stdout.len()), (Status::Code(0), count as usize * CHUNK));
    }
}
