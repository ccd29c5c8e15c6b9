//! Runs a cluster from its start to its end. A [`StartObserver`] gets the events of the start.

use std::io;
use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};
use xcluster_core::{Cluster, ClusterStatus, Error, Event};

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
    let cluster = begun?;
    let started = tokio::select! {
        // A stop is reported as such, and not as a start that failed.
        biased;
        ended = cluster.wait() => return Err(cancelled(ended.err())),
        started = start(&cluster, observer) => started,
        () = signals.end() => Err(interrupted()),
    };
    let ended = match started {
        Ok(()) => tokio::select! {
            ended = cluster.wait() => return ended.map(|()| Exit::OK).map_err(Failure::from),
            () = signals.end() => Ok(()),
        },
        Err(failure) => Err(failure),
    };
    let removed = match cluster.stop().await {
        // Another process has stopped it at the same time.
        Err(Error::Ended) => Ok(()),
        stopped => stopped.map_err(Failure::from),
    };
    // The reason for the end is more important than an error of the teardown.
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

fn cancelled(error: Option<Error>) -> Failure {
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
