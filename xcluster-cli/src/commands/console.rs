//! `console`: the serial console of a node.

use super::select::{attach, one};
use crate::args::ConsoleArgs;
use crate::exit::Exit;
use crate::output;
use crate::report::Outcome;
use crate::terminal::{self, Plain};
use crate::variables::Variables;

/// Opens the console, or prints its output so far.
pub(super) async fn run(args: &ConsoleArgs, variables: &Variables) -> Outcome {
    let cluster = attach(&args.name, variables).await?;
    let node = one(&args.node, &cluster.status().await?)?.id;
    if args.log {
        output::print(&cluster.console_text(node).await?)?;
        return Ok(Exit::OK);
    }
    let console = cluster.console(node).await?;
    terminal::announce(&format!("console of {node}"));
    let end = terminal::attach(console, Plain).await.map_err(|error| output::failed(&error))?;
    terminal::conclude(end);
    Ok(Exit::OK)
}
