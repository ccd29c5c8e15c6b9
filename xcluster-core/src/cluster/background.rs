//! One thread with a runtime for everything that handles do outside of a cluster's thread: clients of other processes'
//! clusters, forwards, deadlines. So that a caller needs no runtime.

use std::future::Future;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::error::Error;

/// A task of the thread. Dropping it cancels the task.
#[derive(Debug)]
#[must_use]
pub(super) struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs work on the thread, and waits for its result. It is cancelled when the caller stops waiting.
pub(super) async fn run<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let mut task = spawn(work)?;
    let outcome = (&mut task.0).await;
    outcome.unwrap_or_else(|error| Err(Error::io("run a request", io::Error::other(error))))
}

/// Starts work on the thread.
pub(super) fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<Task<T>, Error> {
    Ok(Task(handle()?.spawn(work)))
}

/// Waits for a while, in any runtime or none.
pub(super) async fn sleep(time: Duration) -> Result<(), Error> {
    run(async move {
        tokio::time::sleep(time).await;
        Ok(())
    })
    .await
}

/// The runtime, on a thread that lives as long as the process.
pub(super) fn handle() -> Result<Handle, Error> {
    static RUNTIME: Mutex<Option<Handle>> = Mutex::new(None);
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = &*runtime {
        return Ok(runtime.clone());
    }
    let failed = |error| Error::io("start the thread of cluster handles", error);
    let (give, given) = std::sync::mpsc::channel();
    // Made on its thread: inside of another runtime it could not be dropped if the thread failed.
    let run = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let _ = give.send(Ok(runtime.handle().clone()));
            runtime.block_on(std::future::pending::<()>());
        }
        Err(error) => drop(give.send(Err(error))),
    };
    std::thread::Builder::new().name("xcluster-handles".to_owned()).spawn(run).map_err(failed)?;
    let handle = given.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())).map_err(failed)?;
    *runtime = Some(handle.clone());
    Ok(handle)
}
