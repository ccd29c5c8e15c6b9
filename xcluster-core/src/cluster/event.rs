//! What happens to a cluster, as it happens. A listener gets everything from the beginning, however late it comes.

use std::sync::{Arc, Mutex, PoisonError};

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

/// The events of a cluster, in order, from the beginning.
#[derive(Debug, Clone)]
pub struct Events {
    log: Arc<Mutex<Vec<Event>>>,
    length: watch::Receiver<usize>,
    seen: usize,
}

impl Events {
    /// The next event, or none when the cluster has ended and everything was seen.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.log.lock().unwrap_or_else(PoisonError::into_inner).get(self.seen).cloned();
            if event.is_some() {
                self.seen += 1;
                return event;
            }
            let seen = self.seen;
            self.length.wait_for(|length| *length > seen).await.ok()?;
        }
    }
}

/// Where events are noted.
#[derive(Debug)]
pub(crate) struct EventLog {
    log: Arc<Mutex<Vec<Event>>>,
    length: watch::Sender<usize>,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        Self { log: Arc::default(), length: watch::Sender::new(0) }
    }

    pub(crate) fn note(&self, event: Event) {
        tracing::debug!(?event);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(event);
        self.length.send_replace(log.len());
    }

    pub(crate) fn listen(&self) -> Events {
        Events { log: self.log.clone(), length: self.length.subscribe(), seen: 0 }
    }
    /// Returns when nobody listens any more.
    pub(crate) async fn unheard(&self) {
        self.length.closed().await;
    }
}
