//! The thread of a cluster. Everything that happens to a cluster happens there, one step of a task at a time; the handles only
//! send work to it and wait.
//!
//! Three things follow: a QEMU's death signal hangs on a thread that lives as long as the cluster; a `Drop` inside the caller's
//! runtime needs no runtime; and a blocking caller does the same as an asynchronous one.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::state::State;
use super::teardown::end;
use crate::cluster::error::Error;

type Job = Box<dyn FnOnce(Rc<State>) -> LocalBoxFuture<'static, ()> + Send>;

/// The service for other processes, on the cluster's thread.
pub(crate) trait Service {
    /// Serves until another process asks for the end of the cluster.
    async fn serve(&mut self, state: &Rc<State>);

    /// Ends what is being served, once the cluster has been taken down. Returns work that is left until everything of the
    /// cluster is gone: to answer the process that asked for the end.
    async fn finish(self, stopped: Result<(), Error>) -> LocalBoxFuture<'static, ()>;
}

/// The handle of a cluster's thread. Dropping it ends the cluster and waits for that.
#[derive(Debug)]
pub(crate) struct ClusterThread {
    /// None once the end was requested.
    jobs: Mutex<Option<mpsc::UnboundedSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ClusterThread {
    /// Starts the thread. `state` and `service` are called on it. It takes the cluster down when the handle is dropped, or when
    /// the service returns.
    pub(crate) fn start<S: Service>(
        name: String,
        state: impl FnOnce() -> State + Send + 'static,
        service: impl FnOnce() -> S + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, jobs) = mpsc::unbounded_channel::<Job>();
        let (fail, failed) = std::sync::mpsc::channel::<io::Error>();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            // Made here and not by the caller: dropping an unused runtime inside of another one panics.
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(fail.send(error)),
            };
            drop(fail);
            let local = LocalSet::new();
            let rest = local.block_on(&runtime, run(Rc::new(state()), jobs, service()));
            // With the tasks, the last references to the state are gone.
            drop(local);
            runtime.block_on(rest);
            // A guest's image may still be in the making on a thread of the runtime; its result is no longer needed.
            runtime.shutdown_background();
        })?;
        if let Ok(error) = failed.recv() {
            return Err(error);
        }
        Ok(Self { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Runs `work` on the cluster's thread and waits for its result. The work goes on if the caller stops waiting.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(Rc<State>) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |state| {
            async move {
                // An error means that the caller stopped waiting.
                let _ = answer.send(work(state).await);
            }
            .boxed_local()
        });
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = jobs.as_ref().map(|jobs| jobs.send(job));
        async move {
            match sent {
                Some(Ok(())) => answered.await.map_err(|_| Error::Ended),
                Some(Err(_)) | None => Err(Error::Ended),
            }
        }
    }

    /// Requests the end and waits for it, which takes as long as killing a few processes.
    pub(crate) fn end(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("a cluster's thread panicked; the kernel has killed its nodes");
        }
    }
}

impl Drop for ClusterThread {
    fn drop(&mut self) {
        self.end();
    }
}

/// Does the jobs and serves the cluster until either is over, then takes it down.
async fn run(
    state: Rc<State>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    mut service: impl Service,
) -> LocalBoxFuture<'static, ()> {
    {
        let mut served = pin!(service.serve(&state));
        loop {
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) => drop(tokio::task::spawn_local(job(state.clone()))),
                    None => break,
                },
                () = &mut served => break,
            }
        }
    }
    drop(jobs);
    let stopped = end(&state).await;
    drop(state);
    service.finish(stopped).await
}
