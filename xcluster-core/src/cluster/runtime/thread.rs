//! The thread that a cluster lives on. Everything that happens to a cluster happens there, one step of a task at a time;
//! the public handles only send work to it and wait.
//!
//! That makes three things exact: a QEMU's death signal hangs on a thread that lives as long as the cluster; a `Drop`
//! inside somebody's runtime needs no runtime; and a blocking caller does the same as an asynchronous one.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::state::State;
use crate::cluster::error::Error;

type Job = Box<dyn FnOnce(Rc<State>) -> LocalBoxFuture<'static, ()> + Send>;

/// The way to a cluster's thread. Dropping it ends the cluster and waits for that.
#[derive(Debug)]
pub(crate) struct ClusterThread {
    /// None once the end was ordered.
    jobs: Mutex<Option<mpsc::UnboundedSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ClusterThread {
    /// Starts the thread. `state` is made on it; when the handle goes, `end` is run before it ends.
    pub(crate) fn start<E, F>(name: String, state: impl FnOnce() -> State + Send + 'static, end: E) -> io::Result<Self>
    where
        E: FnOnce(Rc<State>) -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let (sender, mut jobs) = mpsc::unbounded_channel::<Job>();
        let (fail, failed) = std::sync::mpsc::channel::<io::Error>();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            // Made here and not brought along: where a runtime already runs, one that is not wanted after all cannot be
            // dropped without a panic.
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(fail.send(error)),
            };
            drop(fail);
            LocalSet::new().block_on(&runtime, async move {
                let state = Rc::new(state());
                while let Some(job) = jobs.recv().await {
                    tokio::task::spawn_local(job(state.clone()));
                }
                end(state).await;
            });
            // A guest's image may still be in the making on a thread of the runtime; nobody waits for it any more.
            runtime.shutdown_background();
        })?;
        if let Ok(error) = failed.recv() {
            return Err(error);
        }
        Ok(Self { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Runs `work` on the cluster's thread and waits for what it gives. The work goes on if the caller stops waiting.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(Rc<State>) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |state| {
            async move {
                // Nobody may be waiting any more; then the answer is of no use.
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

    /// Orders the end and waits for it, which takes as long as killing a few processes does.
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
