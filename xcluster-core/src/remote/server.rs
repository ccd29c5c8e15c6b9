//! The owner's side: listens on the cluster's socket until it is told to stop. What is said there is `conversation`'s affair.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::conversation::{answer, converse};
use super::message::{SOCKET, send};
use crate::cluster::{Cluster, Error};

/// When to try again to accept a connection.
const AGAIN: Duration = Duration::from_millis(100);

/// How long others are given to take in that the cluster has ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a cluster to the other processes of this user until one of them asks for its end or `until` completes; then
/// stops it. Who shares the cluster can watch it meanwhile. Must run in a tokio runtime.
///
/// # Errors
/// The socket cannot be made, or not everything could be removed at the end.
pub async fn serve(cluster: impl Into<Arc<Cluster>>, until: impl Future<Output = ()>) -> Result<(), Error> {
    let cluster: Arc<Cluster> = cluster.into();
    let path = cluster.folder().join(SOCKET);
    let failed = |source: io::Error| Error::io(format!("listen on `{}`", path.display()), source);
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let (stop, mut stops) = mpsc::channel::<UnixStream>(1);
    let mut conversations = JoinSet::new();
    tokio::pin!(until);
    let mut lost = None;
    let asker = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (cluster, stop) = (cluster.clone(), stop.clone());
                    conversations.spawn(async move {
                        if let Err(error) = converse(stream, &cluster, stop).await {
                            tracing::debug!(%error, "a conversation broke off");
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely. Nothing tells when there are some again.
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(AGAIN).await;
                }
            },
            Some(_) = conversations.join_next() => {}
            Some(asker) = stops.recv() => break Some(asker),
            () = &mut until => break None,
            error = cluster.lost() => {
                lost = Some(error);
                break None;
            }
        }
    };
    let stopped = match (cluster.end().await, lost) {
        (Ok(()), Some(lost)) => Err(lost),
        (stopped, _) => stopped,
    };
    if let Some(mut asker) = asker {
        // Who asked may have gone; the cluster has ended all the same.
        let _ = timeout(FAREWELL, send(&mut asker, &answer(stopped.as_ref()))).await;
    }
    // They see the end of the cluster by themselves, and pass it on; but for those whose other end does not listen.
    let _ = timeout(FAREWELL, async { while conversations.join_next().await.is_some() {} }).await;
    stopped
}
