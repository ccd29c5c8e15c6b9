//! The receiver of the requests of handles: the cluster's thread in this process, or its owner in another one.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;

use super::builder::Builder;
use super::control::{Client, Server};
use super::error::Error;
use super::event::{Event, EventLog, Events};
use super::runtime::{ClusterThread, Phase, Progress, State, requests, start};
use crate::host::{Folder, folder};
use crate::name::ClusterName;
use crate::plan::Plan;

/// The state that the handles of a cluster and of its nodes share.
#[derive(Debug)]
pub(super) enum Link {
    /// This process owns the cluster.
    Owned(Owned),
    /// Another process of this user owns it.
    Attached(Client),
}

impl Link {
    pub(super) fn name(&self) -> &ClusterName {
        match self {
            Self::Owned(owned) => &owned.name,
            Self::Attached(client) => client.name(),
        }
    }

    pub(super) fn plan(&self) -> Arc<Plan> {
        match self {
            Self::Owned(owned) => owned.plan.borrow().clone(),
            Self::Attached(client) => client.plan(),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::Owned(owned) => &owned.folder,
            Self::Attached(client) => client.folder(),
        }
    }

    pub(super) fn events(&self) -> Events {
        match self {
            Self::Owned(owned) => owned.events.clone(),
            Self::Attached(client) => client.events(),
        }
    }
}

/// A cluster of this process.
#[derive(Debug)]
pub(super) struct Owned {
    name: ClusterName,
    folder: PathBuf,
    plan: watch::Receiver<Arc<Plan>>,
    /// Read from the beginning. The log itself is the thread's, so that it ends with the cluster.
    events: Events,
    progress: Progress,
    thread: ClusterThread,
}

impl Owned {
    /// Starts the cluster's thread, which opens the cluster and starts `all` nodes or none.
    pub(super) fn begin(builder: &Builder, all: bool) -> Result<Self, Error> {
        let plan = builder.plan().map_err(Error::Invalid)?;
        let backends = builder.registry().map_err(Error::Invalid)?;
        let base = builder.base();
        // Removes what killed owners left: no process does it at their end.
        let swept = folder::sweep(&base)?;
        let name = plan.name.clone();
        let folder = Folder::create(&base, &name)?;
        let path = folder.path().to_owned();
        // From the beginning, so that every cluster can be found and stopped, also one that hangs.
        let listener = Server::listen(&path)?;
        let log = Arc::new(EventLog::new());
        for foreign in swept.foreign {
            log.note(Event::Note { text: foreign.to_string() });
        }
        let events = log.listen();
        let (publish_phase, phase) = watch::channel(Phase::Starting);
        let (publish_plan, plan) = watch::channel(Arc::new(plan));
        let progress = Progress::new(name.clone(), phase);
        let state = move || State::new(publish_plan, backends, folder, log, publish_phase);
        let server = move || Server::new(listener);
        let thread = ClusterThread::start(format!("xcluster-{name}"), state, server);
        let thread = thread.map_err(|source| Error::io("start the cluster's thread", source))?;
        // The start goes on by itself.
        drop(thread.call(async move |state| start(&state, all)));
        Ok(Self { name, folder: path, plan, events, progress, thread })
    }

    /// Waits until the start is over.
    pub(super) async fn ready(&self) -> Result<(), Error> {
        self.progress.clone().ready().await
    }

    /// Waits until the cluster has ended otherwise than by this process.
    pub(super) async fn wait(&self) -> Result<(), Error> {
        let ended = self.progress.clone().ended().await;
        if ended.is_ok() {
            // The folder goes last.
            self.thread.end();
        }
        ended
    }

    /// Stops the cluster and waits until nothing is left.
    pub(super) async fn stop(&self) -> Result<(), Error> {
        let stopped = self.thread.call(requests::stop).await?;
        self.thread.end();
        stopped
    }

    /// Ends the cluster without a report. It takes as long as killing a few processes.
    pub(super) fn end(&self) {
        self.thread.end();
    }

    /// Runs work on the cluster's thread. It goes on if the caller stops waiting.
    pub(super) fn call<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(Rc<State>) -> Result<T, Error> + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'static {
        let (answer, progress) = (self.thread.call(work), self.progress.clone());
        async move {
            let outcome = answer.await?;
            if outcome.is_err() && progress.is_lost() { Err(progress.lost()) } else { outcome }
        }
    }
}
