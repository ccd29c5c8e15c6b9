//! The events of a cluster. A listener gets all of them from the beginning, also if it comes late.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::name::NodeId;
use crate::plan::Step;

/// Something that happened to a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum Event {
    /// A step has begun.
    Begin {
        /// Which.
        step: Step,
    },
    /// A step is done.
    Done {
        /// Which.
        step: Step,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// A step has failed; the start of the cluster, or the boot of the node, is being undone.
    Failed {
        /// Which.
        step: Step,
        /// Why.
        error: String,
    },
    /// Something that people should know.
    Note {
        /// What.
        text: String,
    },
    /// A node has got its boot slot and boots next.
    BootSlot {
        /// Which.
        node: NodeId,
        /// How long it waited for boots of other clusters to end, in milliseconds.
        waited_millis: u64,
    },
    /// The cluster is open, and every node that was to be started with it is ready.
    Ready,
    /// A node has ended by itself. The others go on.
    Exited {
        /// Which.
        node: NodeId,
        /// How.
        reason: String,
    },
    /// A node was stopped by itself. The others go on.
    NodeStopped {
        /// Which.
        node: NodeId,
    },
    /// The cluster has ended.
    Stopped,
}

/// The events of a cluster, in order, from the beginning. They are a [`Stream`], too.
#[derive(Debug, Clone)]
pub struct Events {
    log: Arc<Mutex<Log>>,
    seen: usize,
    /// Shows the log that it has a listener.
    _listens: watch::Receiver<()>,
}

impl Events {
    /// The next event, or none when the cluster has ended and everything was seen.
    pub async fn next(&mut self) -> Option<Event> {
        StreamExt::next(self).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let event = log.events.get(self.seen).cloned();
        if event.is_none() && !log.ended {
            log.wakers.push(context.waker().clone());
            return Poll::Pending;
        }
        drop(log);
        self.seen += usize::from(event.is_some());
        Poll::Ready(event)
    }
}

/// The events so far, and who waits for more.
#[derive(Debug, Default)]
struct Log {
    events: Vec<Event>,
    ended: bool,
    wakers: Vec<Waker>,
}

/// Where events are noted. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct EventLog {
    log: Arc<Mutex<Log>>,
    listeners: watch::Sender<()>,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        Self { log: Arc::default(), listeners: watch::Sender::new(()) }
    }

    pub(crate) fn note(&self, event: Event) {
        tracing::debug!(?event);
        self.change(|log| log.events.push(event));
    }

    pub(crate) fn listen(&self) -> Events {
        Events { log: self.log.clone(), seen: 0, _listens: self.listeners.subscribe() }
    }

    /// Returns when the last listener is dropped.
    pub(crate) async fn unheard(&self) {
        self.listeners.closed().await;
    }

    fn change(&self, change: impl FnOnce(&mut Log)) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut log);
        let wakers = std::mem::take(&mut log.wakers);
        drop(log);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.change(|log| log.ended = true);
    }
}
