//! The pause of a test that failed, in which other processes can look at its cluster.

use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use tokio::signal::unix::{SignalKind, signal};

use super::artifacts::CONTINUE;
use crate::cluster::Cluster;

/// How often to look for the file and for Ctrl-C. A person makes them: inotify(7) would use up one of a user's 128 instances.
const CHECK: Duration = Duration::from_millis(200);

/// Ends with the limit, with the file [`CONTINUE`] in the folder, or with Ctrl-C. Prints how to look at the cluster.
pub(super) async fn pause(test: &str, cluster: &Cluster, folder: &Path, limit: Duration) {
    let (name, file) = (cluster.name(), folder.join(CONTINUE));
    let node = cluster.nodes().first().map_or(1, |node| node.id().number());
    // Not by a macro, whose output the test harness keeps until the test ends.
    let _ = writeln!(
        io::stderr(),
        "PAUSED {test}: it failed, and cluster `{name}` runs on for {} s at most. Its artifacts: {}\n  \
         xcluster status --name {name}\n  \
         xcluster exec --name {name} {node} -- ip address\n  \
         xcluster console --name {name} {node}\n  \
         touch '{}'    # or Ctrl-C: go on",
        limit.as_secs(),
        folder.display(),
        file.display(),
    );
    let interrupts = Interrupts::of_this_process();
    let seen = interrupts.map(Interrupts::begin_pause);
    let (done, ended) = oneshot::channel::<()>();
    // On a thread: the runtime of the test, if there is one, may have no timer.
    let begun = Instant::now();
    let waits = std::thread::Builder::new().name("xcluster-pause".to_owned()).spawn(move || {
        let is_interrupted = || interrupts.zip(seen).is_some_and(|(interrupts, seen)| interrupts.count() > seen);
        while begun.elapsed() < limit && file.symlink_metadata().is_err() && !is_interrupted() {
            std::thread::sleep(CHECK.min(limit));
        }
        drop(done);
    });
    if waits.is_ok() {
        // Dropped at the end of the pause.
        let _ = ended.await;
    }
    if let Some(interrupts) = interrupts {
        interrupts.paused.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ctrl-C (SIGINT) of this process, from the first pause on: it ends the pauses that there are, else the process, as it would
/// without this.
struct Interrupts {
    /// Tests that pause now.
    paused: AtomicUsize,
    seen: AtomicUsize,
}

impl Interrupts {
    /// None if the signal cannot be watched: then it ends the process.
    fn of_this_process() -> Option<&'static Self> {
        static INTERRUPTS: OnceLock<Option<&'static Interrupts>> = OnceLock::new();
        *INTERRUPTS.get_or_init(|| {
            let interrupts: &'static Self = Box::leak(Box::new(Self { paused: 0.into(), seen: 0.into() }));
            let thread = std::thread::Builder::new().name("xcluster-ctrl-c".to_owned());
            let (ready, is_ready) = std::sync::mpsc::channel::<()>();
            thread.spawn(move || interrupts.watch(ready)).ok()?;
            is_ready.recv().ok().map(|()| interrupts)
        })
    }

    fn begin_pause(&self) -> usize {
        self.paused.fetch_add(1, Ordering::Relaxed);
        self.count()
    }

    fn count(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }

    fn watch(&self, ready: std::sync::mpsc::Sender<()>) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return };
            let _ = ready.send(());
            while interrupt.recv().await.is_some() {
                self.seen.fetch_add(1, Ordering::Relaxed);
                if self.paused.load(Ordering::Relaxed) == 0 {
                    // As a shell reports a program that SIGINT has ended.
                    std::process::exit(128 + 2);
                }
            }
        });
    }
}
