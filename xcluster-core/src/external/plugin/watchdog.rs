//! Deadlines for foreign code: it runs on a thread of its own, and the caller waits for a limited time. A thread that exceeds
//! it is left behind and counted. Knows nothing of plugins.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::lock;

/// How many threads of a plugin may hang before it gets no more calls. Each takes a stack, and a plugin that hangs in a lock
/// would delay every caller by a deadline.
const HANGING_MAX: usize = 3;

/// The threads without a waiting caller, and the deadline of each. A thread whose caller was cancelled counts as hanging only
/// after its deadline, since calls that undo its work must still be made.
#[derive(Debug, Default)]
pub(super) struct HungThreads {
    left: Mutex<BTreeMap<u64, Instant>>,
    count: AtomicU64,
}

impl HungThreads {
    /// Whether no more calls may be made.
    pub(super) fn hangs(&self) -> bool {
        self.hanging() >= HANGING_MAX
    }

    /// Whether no thread hangs.
    pub(super) fn is_well(&self) -> bool {
        self.hanging() == 0
    }

    fn hanging(&self) -> usize {
        let now = Instant::now();
        lock(&self.left).values().filter(|limit| **limit <= now).count()
    }
}

/// Why there is no result.
#[derive(Debug)]
pub(super) enum NoResult {
    /// So many threads hang that this job was not started.
    Hanging,
    /// It exceeded this deadline.
    Late(Duration),
    /// The thread could not be started, or ended without a result.
    Thread(io::Error),
}

/// The state that a job and its caller share.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Runs,
    Ended,
    /// The caller no longer waits.
    Left,
}

/// Runs a job and blocks until it is done.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    health: &Arc<HungThreads>,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoResult> {
    let (send, receive) = mpsc::channel();
    let _waiting = begin(limit, health, job, move |result| drop(send.send(result)))?;
    receive.recv_timeout(limit).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => NoResult::Late(limit),
        mpsc::RecvTimeoutError::Disconnected => broken_off(),
    })
}

/// Starts a job, and returns a handle to wait for its result.
pub(super) fn start<T: Send + 'static>(
    limit: Duration,
    health: &Arc<HungThreads>,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<impl Future<Output = Result<T, NoResult>> + Send, NoResult> {
    let (send, receive) = oneshot::channel();
    let waiting = begin(limit, health, job, move |result| drop(send.send(result)))?;
    Ok(async move {
        let _waiting = waiting;
        match timeout(limit, receive).await {
            Ok(received) => received.map_err(|_| broken_off()),
            Err(_) => Err(NoResult::Late(limit)),
        }
    })
}

fn begin<T: Send + 'static>(
    limit: Duration,
    health: &Arc<HungThreads>,
    job: impl FnOnce() -> T + Send + 'static,
    deliver: impl FnOnce(T) + Send + 'static,
) -> Result<Waiting, NoResult> {
    if health.hangs() {
        return Err(NoResult::Hanging);
    }
    let id = health.count.fetch_add(1, Ordering::Relaxed);
    let (phase, health) = (Arc::new(Mutex::new(Phase::Runs)), Arc::clone(health));
    let running = Running { id, phase: Arc::clone(&phase), health: Arc::clone(&health) };
    let until = Instant::now() + limit;
    let work = move || {
        let result = job();
        // Before the result is sent: the caller must not count this thread as hanging.
        drop(running);
        deliver(result);
    };
    thread::Builder::new().name("plugin".to_owned()).spawn(work).map_err(NoResult::Thread)?;
    Ok(Waiting { id, until, phase, health })
}

/// The thread's end of a job.
#[derive(Debug)]
struct Running {
    id: u64,
    phase: Arc<Mutex<Phase>>,
    health: Arc<HungThreads>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::mem::replace(&mut *lock(&self.phase), Phase::Ended) == Phase::Left {
            lock(&self.health.left).remove(&self.id);
        }
    }
}

/// The caller's end of a job.
#[derive(Debug)]
struct Waiting {
    id: u64,
    until: Instant,
    phase: Arc<Mutex<Phase>>,
    health: Arc<HungThreads>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut phase = lock(&self.phase);
        if *phase == Phase::Runs {
            *phase = Phase::Left;
            lock(&self.health.left).insert(self.id, self.until);
        }
    }
}

fn broken_off() -> NoResult {
    NoResult::Thread(io::Error::other("its thread broke off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_hangs_is_counted_until_it_comes_back() {
        let health = Arc::<HungThreads>::default();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        for _ in 0..HANGING_MAX {
            let released = released.clone();
            let hung = within(SHORT, &health, move || released.lock().unwrap().recv());
            assert!(matches!(hung, Err(NoResult::Late(SHORT))), "{hung:?}");
        }
        assert!(health.hangs());
        assert!(matches!(within(LONG, &health, || 1), Err(NoResult::Hanging)));
        drop(release);
        while !health.is_well() {
            thread::yield_now();
        }
        assert!(matches!(within(LONG, &health, || 1), Ok(1)));
    }

    #[tokio::test]
    async fn calls_that_nobody_waits_for_hang_when_their_time_is_over() {
        let health = Arc::<HungThreads>::default();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let forget = |limit| {
            let released = released.clone();
            drop(start(limit, &health, move || released.lock().unwrap().recv()).unwrap());
        };
        (0..2 * HANGING_MAX).for_each(|_| forget(LONG));
        assert!(health.is_well());
        forget(Duration::ZERO);
        assert!(!health.is_well());
        drop(release);
        while !lock(&health.left).is_empty() {
            thread::yield_now();
        }
        assert!(matches!(start(LONG, &health, || 1).unwrap().await, Ok(1)));
    }

    #[test]
    fn a_panic_is_no_hang() {
        let health = Arc::<HungThreads>::default();
        let broken = within(LONG, &health, || panic!("of a test"));
        assert!(matches!(broken, Err(NoResult::Thread(_))), "{broken:?}");
        assert!(health.is_well());
    }
}
