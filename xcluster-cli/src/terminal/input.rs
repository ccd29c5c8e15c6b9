//! The user's input as events: bytes of standard input, window sizes, signals.

use std::io::{self, IsTerminal, Read, stdin};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::tty::{Size, window};

/// How many bytes are read at once.
const CHUNK: usize = 8 * 1024;

/// An event of the user's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Bytes from the keyboard, a file or a pipe.
    Bytes(Vec<u8>),
    /// The end of the bytes.
    End,
    /// The new window size.
    Window(Size),
    /// A signal to end this process.
    Leave,
}

/// The source of events.
#[derive(Debug)]
pub(crate) struct Input {
    /// The events. The queue is short, so that a file is read only as fast as it is sent.
    pub(crate) events: mpsc::Receiver<Event>,
    /// Whether the input is a keyboard, with an escape key.
    pub(crate) interactive: bool,
}

/// Events of this process's standard input, window and signals. Must be called in a runtime.
pub(crate) fn standard_input() -> Input {
    let (sender, events) = mpsc::channel(4);
    let interactive = stdin().is_terminal();
    // Not a thread of the runtime: a read that waits for a key must not delay the end of the runtime.
    let bytes = sender.clone();
    std::thread::spawn(move || read(&bytes));
    tokio::spawn(async move {
        // A signal that cannot be watched keeps its default effect.
        let _ = watch(&sender).await;
    });
    Input { events, interactive }
}

fn read(sender: &mpsc::Sender<Event>) {
    let mut buffer = [0; CHUNK];
    loop {
        let event = match stdin().lock().read(&mut buffer) {
            Ok(0) => Event::End,
            Ok(length) => Event::Bytes(buffer[..length].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => Event::End,
        };
        let last = event == Event::End;
        if sender.blocking_send(event).is_err() || last {
            return;
        }
    }
}

async fn watch(sender: &mpsc::Sender<Event>) -> io::Result<()> {
    let mut resized = signal(SignalKind::window_change())?;
    let mut ended = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let mut event = window().map(Event::Window);
    loop {
        if let Some(event) = event
            && sender.send(event).await.is_err()
        {
            return Ok(());
        }
        event = tokio::select! {
            _ = resized.recv() => window().map(Event::Window),
            _ = ended.recv() => Some(Event::Leave),
            _ = hung_up.recv() => Some(Event::Leave),
            () = sender.closed() => return Ok(()),
        };
    }
}
