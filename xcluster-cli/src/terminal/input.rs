//! What comes from the user's side: bytes of standard input, sizes of the window, the wish to end. What becomes of them
//! is the session's affair.

use std::io::{self, IsTerminal, Read, stdin};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::Size;
use super::raw::window;

/// How much is read at once.
const CHUNK: usize = 8 * 1024;

/// What happens on the user's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// These bytes were typed, or read from a file or pipe.
    Bytes(Vec<u8>),
    /// There will be no more bytes.
    End,
    /// The window has this size.
    Window(Size),
    /// Somebody sent us a signal to end.
    Leave,
}

/// Where events come from.
#[derive(Debug)]
pub(crate) struct Input {
    /// The events; few are kept, so that a file is read as fast as it is sent.
    pub(crate) events: mpsc::Receiver<Event>,
    /// Somebody types: the escape key is looked for.
    pub(crate) interactive: bool,
}

/// This process's standard input, window and signals. Must be called in a runtime.
pub(crate) fn standard_input() -> Input {
    let (sender, events) = mpsc::channel(4);
    let interactive = stdin().is_terminal();
    // A thread of its own, not the runtime's: a read that waits for a key must not hold up the end of the runtime.
    let bytes = sender.clone();
    std::thread::spawn(move || read(&bytes));
    tokio::spawn(async move {
        // A signal that cannot be watched keeps its usual effect.
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
