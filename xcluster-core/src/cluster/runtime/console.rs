//! The owner's side of a node's serial console: read all the time, kept in a log, passed on to everybody who joins.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;

use nix::fcntl::OFlag;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{broadcast, mpsc};

use crate::cluster::console::{Console, PIECES};
use crate::host::PrivateDir;
use crate::name::NodeId;

/// How much of the end of a console is kept in memory, in bytes, for errors and for those who join.
const TAIL: usize = 256 * 1024;

/// How large a log gets, in bytes, before it is renamed to `….old` and a new one begun: a guest that floods its console must
/// not fill the host's memory, where the folder usually lies.
const LOG_MAX: u64 = 4 * 1024 * 1024;

/// How many pieces a joined console may lag behind before it misses some.
const LAG: usize = 1024;

/// The owner's end of a console.
#[derive(Debug)]
pub(super) struct ConsoleHub {
    tail: Rc<RefCell<VecDeque<u8>>>,
    output: broadcast::WeakSender<Vec<u8>>,
    input: mpsc::Sender<Vec<u8>>,
}

impl ConsoleHub {
    /// Begins to read. Must be called on the cluster's thread.
    pub(super) fn new(stream: UnixStream, log: ConsoleLog) -> Self {
        let tail = Rc::new(RefCell::new(VecDeque::new()));
        let output = broadcast::Sender::new(LAG);
        let weak = output.downgrade();
        let (input, typed) = mpsc::channel(PIECES);
        let (reader, writer) = stream.into_split();
        tokio::task::spawn_local(read(reader, Log::new(log), tail.clone(), output));
        tokio::task::spawn_local(write(writer, typed));
        Self { tail, output: weak, input }
    }

    /// The end of what the console showed.
    pub(super) fn tail(&self) -> Vec<u8> {
        self.tail.borrow().iter().copied().collect()
    }

    /// Joins the console, in a task of the cluster's thread.
    pub(super) fn join(&self, node: NodeId) -> Console {
        let (pieces, console) = mpsc::channel(PIECES);
        tokio::task::spawn_local(pass_on(self.tail(), self.subscribe(), pieces));
        Console::new(node, console, self.input.clone())
    }

    fn subscribe(&self) -> broadcast::Receiver<Vec<u8>> {
        match self.output.upgrade() {
            Some(output) => output.subscribe(),
            // The node has ended: its tail can be read, and nothing follows.
            None => broadcast::channel(1).1,
        }
    }

    /// Waits until the console has shown a text; false if the node ends before.
    pub(super) async fn shows(&self, text: &str) -> bool {
        let (pieces, mut output) = mpsc::channel(PIECES);
        tokio::task::spawn_local(pass_on(self.tail(), self.subscribe(), pieces));
        let mut seen: Vec<u8> = Vec::new();
        while let Some(bytes) = output.recv().await {
            seen.extend(bytes);
            if find(&seen, text.as_bytes()) {
                return true;
            }
            // The text may begin in the bytes that stay.
            seen.drain(..seen.len().saturating_sub(text.len()));
        }
        false
    }
}

async fn read(
    mut reader: OwnedReadHalf,
    mut log: Log,
    tail: Rc<RefCell<VecDeque<u8>>>,
    output: broadcast::Sender<Vec<u8>>,
) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        let bytes = &buffer[..count];
        log.append(bytes);
        let mut tail = tail.borrow_mut();
        tail.extend(bytes);
        let excess = tail.len().saturating_sub(TAIL);
        tail.drain(..excess);
        // Fails if no reader has joined.
        let _ = output.send(bytes.to_vec());
    }
}

async fn write(mut writer: OwnedWriteHalf, mut typed: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = typed.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Passes the output on to one reader until either has ended.
async fn pass_on(shown: Vec<u8>, mut output: broadcast::Receiver<Vec<u8>>, reader: mpsc::Sender<Vec<u8>>) {
    if !shown.is_empty() && reader.send(shown).await.is_err() {
        return;
    }
    loop {
        let next = tokio::select! {
            next = output.recv() => next,
            () = reader.closed() => return,
        };
        match next {
            Ok(bytes) => {
                if reader.send(bytes).await.is_err() {
                    return;
                }
            }
            // The reader was too slow.
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window == needle)
}

/// Where the log of a console is: a file in the cluster's folder, also if the folder's path has changed.
#[derive(Debug, Clone)]
pub(super) struct ConsoleLog {
    dir: Arc<PrivateDir>,
    name: String,
}

impl ConsoleLog {
    pub(super) fn new(dir: Arc<PrivateDir>, name: String) -> Self {
        Self { dir, name }
    }

    fn create(&self) -> io::Result<File> {
        self.dir.open_file(self.name.as_ref(), OFlag::O_CREAT | OFlag::O_TRUNC).map_err(io::Error::other)
    }

    /// Begins a new file, and keeps the one before as `….old`.
    fn rotate(&self) -> io::Result<File> {
        self.dir.rename(self.name.as_ref(), format!("{}.old", self.name).as_ref())?;
        self.create()
    }
}

/// The log of a console while it is written: the end of the output, in one file or two.
#[derive(Debug)]
struct Log {
    place: ConsoleLog,
    file: io::Result<File>,
    length: u64,
}

impl Log {
    fn new(place: ConsoleLog) -> Self {
        Self { file: place.create(), place, length: 0 }
    }

    /// Writes to the log. A log that cannot be written ends; the console goes on.
    fn append(&mut self, bytes: &[u8]) {
        if self.length > LOG_MAX {
            self.file = self.place.rotate();
            self.length = 0;
        }
        let Ok(file) = &mut self.file else { return };
        self.length += bytes.len() as u64;
        if let Err(error) = file.write_all(bytes) {
            tracing::warn!(name = self.place.name, %error, "cannot write a console's log any more");
            self.file = Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::host::Access;
    use tokio::task::LocalSet;

    #[tokio::test]
    async fn a_console_is_joined_by_several_and_kept_in_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = ConsoleLog::new(Arc::new(PrivateDir::open(dir.path(), Access::Read).unwrap()), "log".to_owned());
        LocalSet::new()
            .run_until(async {
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                let hub = ConsoleHub::new(ours, log.clone());
                let mut first = hub.join(NodeId::new(1).unwrap());
                theirs.write_all(b"login: ").await.unwrap();
                assert_eq!(first.next().await.unwrap(), b"login: ");
                let mut second = hub.join(NodeId::new(1).unwrap());
                assert_eq!(second.next().await.unwrap(), b"login: ");
                assert!(second.send("root\n").await);
                let mut typed = [0; 5];
                theirs.read_exact(&mut typed).await.unwrap();
                assert_eq!(&typed, b"root\n");
                theirs.write_all(b"# ").await.unwrap();
                assert!(hub.shows("n: # ").await);
                drop(theirs);
                assert_eq!(first.next().await.unwrap(), b"# ");
                assert_eq!(first.next().await, None);
                assert!(!hub.shows("never").await);
            })
            .await;
        assert_eq!(std::fs::read(dir.path().join("log")).unwrap(), b"login: # ");
    }

    #[tokio::test]
    async fn a_flood_stays_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let log = ConsoleLog::new(Arc::new(PrivateDir::open(dir.path(), Access::Read).unwrap()), "log".to_owned());
        LocalSet::new()
            .run_until(async {
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                let hub = ConsoleHub::new(ours, log.clone());
                for _ in 0..12 {
                    theirs.write_all(&[b'x'; 1 << 20]).await.unwrap();
                }
                theirs.write_all(b"end").await.unwrap();
                assert!(hub.shows("xend").await);
                assert!(hub.tail().len() <= TAIL);
            })
            .await;
        let size = |path: &Path| std::fs::metadata(path).unwrap().len();
        assert!(size(&dir.path().join("log")) + size(&dir.path().join("log.old")) < 3 * LOG_MAX);
    }
}
