//! Tests of the agent's channel: the protocol, the host's end against a hostile guest, and the host's end with the real agent.

mod hostile;
mod language;
mod program;
mod program_files;
mod program_sessions;

use std::time::Duration;

/// Fails a test that hangs.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), future).await.expect("timed out after 120 s")
}
