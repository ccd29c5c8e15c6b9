//! How `start` makes an owner and waits until its cluster is ready. If it is interrupted or dies meanwhile, the owner sees
//! the socket end and stops everything.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use xcluster_core::ClusterStatus;

use super::message::Message;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::report::Failure;
use crate::settings::Settings;

/// How long an owner that has closed its socket may take to end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Starts a cluster in a process of its own and waits until it is ready.
pub(crate) async fn launch(settings: &Settings, verbose: u8) -> Result<ClusterStatus, Failure> {
    let failed = |error: io::Error| Failure::io("start the process that owns the cluster", &error);
    let (socket, child) = spawn(settings, verbose).map_err(failed)?;
    let (reader, mut writer) = socket.into_split();
    let mut line = serde_json::to_vec(settings).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    writer.write_all(&line).await.map_err(failed)?;
    let mut progress = Progress::new();
    let last = listen(BufReader::new(reader), writer, &mut progress).await.map_err(failed);
    progress.finish();
    match last? {
        Some(Message::Ready(status)) => Ok(*status),
        Some(Message::Failed(failure)) => Err(failure),
        Some(Message::Event(_)) | None => Err(lost(child).await),
    }
}

fn spawn(settings: &Settings, verbose: u8) -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new("/proc/self/exe");
    // The cluster's name is for people who look at the list of processes.
    command.arg0("xcluster").args(["owner", settings.name.as_str()]).args((0..verbose).map(|_| "-v"));
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).current_dir("/");
    Ok((UnixStream::from_std(ours)?, command.spawn()?))
}

/// Shows events until the last message; none if there was none. Ctrl-C tells the owner to stop, and what became of that
/// is still waited for.
async fn listen(
    mut reader: impl AsyncBufReadExt + Unpin,
    writer: OwnedWriteHalf,
    progress: &mut Progress,
) -> io::Result<Option<Message>> {
    let mut writer = Some(writer);
    let mut line = Vec::new();
    loop {
        tokio::select! {
            length = reader.read_until(b'\n', &mut line) => {
                if length? == 0 {
                    return Ok(None);
                }
                match serde_json::from_slice(&line)? {
                    Message::Event(event) => progress.show(&event),
                    last => return Ok(Some(last)),
                }
                line.clear();
            }
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                // Who presses it twice does not want to wait; the owner stops all the same.
                if writer.take().is_none() {
                    return Ok(Some(Message::Failed(Failure::quiet(Exit::INTERRUPTED))));
                }
            }
        }
    }
}

/// The failure that an owner is which ended without a word.
async fn lost(mut child: Child) -> Failure {
    let how = match timeout(END_LIMIT, child.wait()).await {
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it hangs".to_owned(),
    };
    Failure::new(Exit::FAILURE, format!("it ended without a word: {how}"))
        .context("the process that owns the cluster is gone")
}
