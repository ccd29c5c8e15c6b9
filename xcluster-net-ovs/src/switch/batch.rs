//! Sends commands that come at the same time as one transaction, since starting the program takes most of the time.

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::error::SwitchError;

use super::vsctl::{Vsctl, VsctlCommand};

/// The most commands of a transaction. It must end long before its deadline, and removing a port takes the kernel about 10
/// ms.
const TOGETHER: usize = 100;

/// The task that carries out commands.
#[derive(Debug)]
pub(super) struct Batch {
    vsctl_commands: mpsc::UnboundedSender<QueuedCommand>,
    task: AbortHandle,
}

struct QueuedCommand {
    command: VsctlCommand,
    done: oneshot::Sender<Result<(), SwitchError>>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Batch {
    /// Starts the task. Must run in a tokio runtime, and ends with it.
    pub(super) fn start(vsctl: Vsctl) -> Self {
        let (vsctl_commands, queued) = mpsc::unbounded_channel();
        Self { vsctl_commands, task: tokio::spawn(work(vsctl, queued)).abort_handle() }
    }

    /// Has a command carried out, also if the caller is cancelled.
    pub(super) async fn run(&self, command: VsctlCommand) -> Result<(), SwitchError> {
        let (done, outcome) = oneshot::channel();
        self.vsctl_commands.send(QueuedCommand { command, done }).map_err(|_| SwitchError::GivenUp)?;
        outcome.await.map_err(|_| SwitchError::GivenUp)?
    }
}

async fn work(vsctl: Vsctl, mut queued: mpsc::UnboundedReceiver<QueuedCommand>) {
    let mut together = Vec::new();
    while queued.recv_many(&mut together, TOGETHER).await > 0 {
        carry_out(&vsctl, std::mem::take(&mut together)).await;
    }
}

async fn carry_out(vsctl: &Vsctl, together: Vec<QueuedCommand>) {
    let vsctl_commands: Vec<VsctlCommand> = together.iter().map(|queued| queued.command.clone()).collect();
    match attempt(vsctl, &vsctl_commands).await {
        Ok(outcomes) => together.into_iter().zip(outcomes).for_each(|(queued, outcome)| tell(queued, outcome)),
        // One of them makes all fail. Each is sent alone, so that each gets its own error.
        Err(SwitchError::Refused { .. }) if vsctl_commands.len() > 1 => {
            for queued in together {
                let outcome = attempt(vsctl, std::slice::from_ref(&queued.command)).await;
                tell(queued, outcome.and_then(|outcomes| outcomes.into_iter().collect()));
            }
        }
        Err(trouble) => {
            let text = trouble.to_string();
            for queued in together {
                tell(queued, Err(SwitchError::Together(text.clone())));
            }
        }
    }
}

/// Carries out commands as one transaction, and returns the outcome of each.
async fn attempt(vsctl: &Vsctl, vsctl_commands: &[VsctlCommand]) -> Result<Vec<Result<(), SwitchError>>, SwitchError> {
    let all = VsctlCommand::all(vsctl_commands);
    vsctl.transact(&all).await?;
    let rows = vsctl.interfaces(&all).await?;
    Ok(vsctl_commands.iter().map(|command| command.judge(&rows)).collect())
}

fn tell(queued: QueuedCommand, outcome: Result<(), SwitchError>) {
    // It fails if the caller no longer waits.
    let _ = queued.done.send(outcome);
}
