//! When a node counts as ready: an event for the agent and the console; for ssh there is none, so it is polled.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::qemu_instance::QemuInstance;
use crate::cluster::error::NodeFailure;
use crate::plan::Readiness;

/// How often an ssh server is tried. No event says when it begins to listen: a forwarded port accepts at once, whether the
/// guest does or not.
const SSH_INTERVAL: Duration = Duration::from_millis(250);

/// How long an ssh server that accepted may take to greet.
const SSH_GREETING: Duration = Duration::from_secs(5);

/// How every ssh server's greeting begins (RFC 4253).
const SSH_BANNER: &[u8; 4] = b"SSH-";

/// Waits until the node is ready; `ssh` connects to its ssh server. The deadline is the caller's.
pub(super) async fn wait(
    readiness: &Readiness,
    qemu: &QemuInstance,
    ssh: impl AsyncFn() -> io::Result<TcpStream>,
) -> Result<(), NodeFailure> {
    match readiness {
        Readiness::Started => Ok(()),
        Readiness::Agent => match qemu.agent() {
            Some(agent) => {
                let ready = agent.ready().await.map_err(NodeFailure::Agent)?;
                if ready.failed.is_empty() { Ok(()) } else { Err(NodeFailure::Scripts(ready.failed)) }
            }
            // A QEMU always has an agent's port when this readiness is planned.
            None => Err(NodeFailure::Unreachable),
        },
        Readiness::Console(text) => {
            if !qemu.console().shows(text).await {
                // The console has closed, so QEMU is about to exit; the caller waits for that and reports it.
                std::future::pending::<()>().await;
            }
            Ok(())
        }
        Readiness::Ssh => {
            let mut tick = interval(SSH_INTERVAL);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                match timeout(SSH_GREETING, greets(&ssh)).await {
                    Ok(Ok(true)) => return Ok(()),
                    Ok(Err(error)) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                        return Err(NodeFailure::Unreachable);
                    }
                    _ => {}
                }
            }
        }
    }
}

async fn greets(ssh: &impl AsyncFn() -> io::Result<TcpStream>) -> io::Result<bool> {
    let mut stream = ssh().await?;
    let mut banner = [0; SSH_BANNER.len()];
    stream.read_exact(&mut banner).await?;
    Ok(banner == *SSH_BANNER)
}
