//! Runs a cluster from its start to its end. A [`StartObserver`] gets the events of the start.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use xcluster_core::{Cluster, ClusterStatus, Event, remote};

use crate::exit::Exit;
use crate::report::{Failure, Outcome};
use crate::settings::Settings;

/// The receiver of the events of a start.
pub(crate) trait StartObserver {
    /// An event of the start.
    async fn event(&mut self, event: Event) -> Result<(), Failure>;

    /// All nodes are ready.
    async fn ready(&mut self, status: ClusterStatus) -> Result<(), Failure>;

    /// Returns when the observer no longer waits. The future may be dropped and created again.
    async fn gone(&mut self);
}

/// Starts a cluster and runs it until it is stopped, by the control socket or a signal.
pub(crate) async fn run_owner(settings: &Settings, observer: &mut impl StartObserver) -> Outcome {
    let mut signals = Signals::new().map_err(|error| Failure::io("watch signals", &error))?;
    let builder = settings.builder()?;
    let begun = if settings.no_nodes { Cluster::begin_open(&builder) } else { Cluster::begin(&builder) };
    let cluster = Arc::new(begun?);
    let (stop, stopped) = oneshot::channel::<()>();
    // Other processes may ask for the status of a starting cluster, or stop it.
    let mut served = pin!(remote::serve(cluster.clone(), async { drop(stopped.await) }));
    let started = tokio::select! {
        started = start(&cluster, observer) => started,
        served = &mut served => return Err(cancelled(served.err())),
        () = signals.end() => Err(interrupted()),
    };
    let ended = match started {
        Ok(()) => tokio::select! {
            served = &mut served => return served.map(|()| Exit::OK).map_err(Failure::from),
            () = signals.end() => Ok(()),
        },
        Err(failure) => Err(failure),
    };
    drop(stop);
    // The reason for the end is more important than an error of the teardown.
    let removed = served.await.map_err(Failure::from);
    ended.and(removed).map(|()| Exit::OK)
}

/// Passes events to the observer until the cluster is ready.
async fn start(cluster: &Cluster, observer: &mut impl StartObserver) -> Result<(), Failure> {
    let mut events = cluster.events();
    let mut ready = pin!(cluster.ready());
    loop {
        tokio::select! {
            // Events come before the result.
            biased;
            Some(event) = events.next() => observer.event(event).await?,
            outcome = &mut ready => break outcome?,
            () = observer.gone() => return Err(interrupted()),
        }
    }
    observer.ready(cluster.status().await?).await
}

fn interrupted() -> Failure {
    Failure::new(Exit::INTERRUPTED, "interrupted before the cluster was ready; nothing is left behind")
}

fn cancelled(error: Option<xcluster_core::Error>) -> Failure {
    match error {
        Some(error) => Failure::from(error),
        None => Failure::new(Exit::FAILURE, "the cluster was stopped before it was ready; nothing is left behind"),
    }
}

/// The signals that end a cluster. SIGHUP is caught and ignored: a closed terminal does not end the cluster.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    _hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            _hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
