//! The events of a cluster. A listener gets all of them from the beginning, also if it comes late.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

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
        /// How long it took. Serialised in whole milliseconds, as `millis`.
        #[serde(rename = "millis", with = "millis")]
        took: Duration,
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
        /// How long it waited for boots of other clusters to end. Serialised in whole milliseconds, as `waited_millis`.
        #[serde(rename = "waited_millis", with = "millis")]
        waited: Duration,
    },
    /// The cluster is open, and every node that was to be started with it is ready.
    Ready,
    /// A node's QEMU ended without a stop: it crashed, its guest powered off, or [`Node::kill`](super::Node::kill) killed it. The
    /// others go on.
    Exited {
        /// Which.
        node: NodeId,
        /// How.
        reason: String,
    },
    /// One node was stopped, with [`Node::stop`](super::Node::stop). The others go on.
    NodeStopped {
        /// Which.
        node: NodeId,
    },
    /// The cluster has ended.
    Stopped,
}

/// A time in whole milliseconds.
pub(super) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        count(*time).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }

    fn count(time: Duration) -> u64 {
        time.as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// One that may be unknown.
    pub(crate) mod optional {
        use super::{Deserialize, Deserializer, Duration, Serialize, Serializer, count};

        pub(crate) fn serialize<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
            time.map(count).serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
            Ok(Option::deserialize(deserializer)?.map(Duration::from_millis))
        }
    }
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
            if !log.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                log.wakers.push(context.waker().clone());
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_milliseconds_in_json() {
        let check = |event: Event, json: &str, read: Duration| {
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
            let took = match serde_json::from_str(json).unwrap() {
                Event::Done { took, .. } => took,
                Event::BootSlot { waited, .. } => waited,
                other => panic!("{other:?}"),
            };
            assert_eq!(took, read);
        };
        let took = Duration::from_micros(3_149_900);
        let json = r#"{"event":"done","step":"guest","millis":3149}"#;
        let json = json.replace(r#""guest""#, &serde_json::to_string(&Step::Guest).unwrap());
        check(Event::Done { step: Step::Guest, took }, &json, Duration::from_millis(3149));
        let node = NodeId::new(1).unwrap();
        let json = r#"{"event":"boot_slot","node":1,"waited_millis":0}"#;
        check(Event::BootSlot { node, waited: Duration::ZERO }, json, Duration::ZERO);
    }
}
