//! Orders that come at the same time go as one transaction: most of what one takes is the start of a program. Knows no order.

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::error::Trouble;

use super::vsctl::{Order, Vsctl};

/// How many go together: a transaction is to end long before its deadline, and removing a port takes the kernel some 10 ms.
const TOGETHER: usize = 100;

/// Whoever has been given orders to carry out.
#[derive(Debug)]
pub(super) struct Batch {
    orders: mpsc::UnboundedSender<Wanted>,
    task: AbortHandle,
}

struct Wanted {
    order: Order,
    done: oneshot::Sender<Result<(), Trouble>>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Batch {
    /// Begins. Must run in a tokio runtime, and ends with it.
    pub(super) fn start(vsctl: Vsctl) -> Self {
        let (orders, wanted) = mpsc::unbounded_channel();
        Self { orders, task: tokio::spawn(work(vsctl, wanted)).abort_handle() }
    }

    /// Has an order carried out. Whoever gives up does not keep it from being carried out.
    pub(super) async fn carry(&self, order: Order) -> Result<(), Trouble> {
        let (done, outcome) = oneshot::channel();
        self.orders.send(Wanted { order, done }).map_err(|_| Trouble::GivenUp)?;
        outcome.await.map_err(|_| Trouble::GivenUp)?
    }
}

async fn work(vsctl: Vsctl, mut wanted: mpsc::UnboundedReceiver<Wanted>) {
    let mut together = Vec::new();
    while wanted.recv_many(&mut together, TOGETHER).await > 0 {
        carry_out(&vsctl, std::mem::take(&mut together)).await;
    }
}

async fn carry_out(vsctl: &Vsctl, together: Vec<Wanted>) {
    let orders: Vec<Order> = together.iter().map(|wanted| wanted.order.clone()).collect();
    match attempt(vsctl, &orders).await {
        Ok(outcomes) => together.into_iter().zip(outcomes).for_each(|(wanted, outcome)| tell(wanted, outcome)),
        // One of them keeps all from being done: by itself, each is told what is its own.
        Err(Trouble::Said { .. }) if orders.len() > 1 => {
            for wanted in together {
                let outcome = attempt(vsctl, std::slice::from_ref(&wanted.order)).await;
                tell(wanted, outcome.and_then(|outcomes| outcomes.into_iter().collect()));
            }
        }
        Err(trouble) => {
            let text = trouble.to_string();
            for wanted in together {
                tell(wanted, Err(Trouble::Together(text.clone())));
            }
        }
    }
}

/// Carries out some orders as one, and gives the outcome of each.
async fn attempt(vsctl: &Vsctl, orders: &[Order]) -> Result<Vec<Result<(), Trouble>>, Trouble> {
    let all = Order::all(orders);
    vsctl.transact(&all).await?;
    let rows = vsctl.interfaces(&all).await?;
    Ok(orders.iter().map(|order| order.judge(&rows)).collect())
}

fn tell(wanted: Wanted, outcome: Result<(), Trouble>) {
    // An error means that nobody waits for it.
    let _ = wanted.done.send(outcome);
}
