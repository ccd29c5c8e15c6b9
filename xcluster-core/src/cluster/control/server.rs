//! The owner's side: listens on the cluster's socket from its beginning to its end.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::conversation::{answer, converse};
use super::message::{SOCKET, send};
use crate::cluster::error::Error;
use crate::cluster::runtime::{Service, State};

/// When to try again to accept a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How long other processes are given to read that the cluster has ended.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves a cluster to the other processes of this user, until one of them asks for its end.
#[derive(Debug)]
pub(crate) struct Server {
    listener: StdListener,
    conversations: JoinSet<()>,
    /// The connection of the process that asked for the cluster's end.
    stopper: Option<UnixStream>,
}

impl Server {
    /// Listens in a cluster's folder.
    pub(crate) fn listen(folder: &Path) -> Result<StdListener, Error> {
        let path = folder.join(SOCKET);
        let failed = |source: io::Error| Error::io(format!("listen on `{}`", path.display()), source);
        let listener = StdListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(listener)
    }

    pub(crate) fn new(listener: StdListener) -> Self {
        Self { listener, conversations: JoinSet::new(), stopper: None }
    }

    fn accept(&self) -> io::Result<UnixListener> {
        UnixListener::from_std(self.listener.try_clone()?)
    }
}

impl Service for Server {
    async fn serve(&mut self, state: &Rc<State>) {
        let listener = loop {
            match self.accept() {
                Ok(listener) => break listener,
                // Out of descriptors, most likely. No event says when some are free again.
                Err(error) => {
                    tracing::warn!(%error, "cannot serve the cluster to other processes");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        };
        let (stop, mut stops) = mpsc::channel::<UnixStream>(1);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let (state, stop) = (Rc::downgrade(state), stop.clone());
                        self.conversations.spawn_local(async move {
                            if let Err(error) = converse(stream, state, stop).await {
                                tracing::debug!(%error, "a conversation was broken off");
                            }
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_RETRY).await;
                    }
                },
                Some(_) = self.conversations.join_next() => {}
                Some(stopper) = stops.recv() => {
                    self.stopper = Some(stopper);
                    return;
                }
            }
        }
    }

    async fn finish(self, stopped: Result<(), Error>) -> LocalBoxFuture<'static, ()> {
        let Self { listener, mut conversations, stopper } = self;
        drop(listener);
        // Conversations see the end of the cluster themselves and pass it on; only a peer that does not read is cut off.
        let _ = timeout(FINISH_TIMEOUT, async { while conversations.join_next().await.is_some() {} }).await;
        async move {
            if let Some(mut stopper) = stopper {
                // An error means that the process is gone; the cluster has ended all the same.
                let _ = timeout(FINISH_TIMEOUT, send(&mut stopper, &answer(stopped.as_ref().map(|_| ())))).await;
            }
        }
        .boxed_local()
    }
}
