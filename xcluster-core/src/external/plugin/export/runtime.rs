//! The runtime of a plugin's backend, on a thread that lives as long as the instance, so that spawned tasks go on between
//! calls.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use futures::FutureExt;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::super::message::Error;

/// The runtime of an instance. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Runtime {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    pub(super) fn start() -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new().name("plugin-runtime".to_owned()).spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            let _ = tell.send(Ok(runtime.handle().clone()));
            // It also ends when the sender is dropped.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        let handle = told.recv().map_err(io::Error::other)??;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Runs a future and blocks until it has ended in any way.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let (send, receive) = mpsc::channel();
        self.handle.spawn(async move {
            let done = AssertUnwindSafe(work).catch_unwind().await;
            // The waiting thread belongs to the host, and waits until this ends.
            let _ = send.send(done.unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref()))));
        });
        receive.recv().unwrap_or_else(|_| Err(Error::other("the plugin's runtime has ended")))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The panic hook has reported it.
            let _ = thread.join();
        }
    }
}
