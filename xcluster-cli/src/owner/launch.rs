//! Starts an owner and waits until its cluster is ready. If `start` is interrupted or killed meanwhile, the owner sees the end of
//! the socket and stops everything.

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

/// Starts a cluster in a new owner process and waits until it is ready.
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
    // The cluster's name is for readers of process lists.
    command.arg0("xcluster").args(["owner", settings.name.as_str()]).args((0..verbose).map(|_| "-v"));
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).current_dir("/");
    Ok((UnixStream::from_std(ours)?, command.spawn()?))
}

/// Shows events until the last message and returns it; none if the owner ended without one. Ctrl-C makes the owner stop, and the
/// result is still waited for.
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
                // A second Ctrl-C ends this process at once; the owner still stops the cluster.
                if writer.take().is_none() {
                    return Ok(Some(Message::Failed(Failure::quiet(Exit::INTERRUPTED))));
                }
            }
        }
    }
}

/// The failure of an owner that ended without a last message.
async fn lost(mut child: Child) -> Failure {
    let how = match timeout(END_LIMIT, child.wait()).await {
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "still running".to_owned(),
    };
    Failure::new(Exit::FAILURE, format!("it ended without a message: {how}"))
        .context("lost the process that owns the cluster")
}
