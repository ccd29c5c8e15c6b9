//! The agent's channel: its language, the host's end against fakes that lie, and both ends for real.

mod hostile;
mod language;
mod program;
mod program_files;
mod program_sessions;

use std::time::Duration;

/// Fails a test that would hang, long after anything it waits for.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), future).await.expect("this should have happened long ago")
}
