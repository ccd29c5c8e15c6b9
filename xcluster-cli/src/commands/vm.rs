//! `vm`: a terminal on a node, by telnet on the internal net.

use std::io::{IsTerminal, stdin};

use super::select::{attach, connect, login, one};
use crate::args::VmArgs;
use crate::exit::Exit;
use crate::output;
use crate::report::Outcome;
use crate::terminal::{self, telnet::Telnet};
use crate::variables::Variables;

/// The port of telnet in a node.
const TELNET: u16 = 23;

/// Opens the terminal.
pub(super) async fn run(args: &VmArgs, variables: &Variables) -> Outcome {
    let cluster = attach(&args.name, variables).await?;
    let status = cluster.status().await?;
    let node = one(&args.node, &status)?;
    login(node, &status)?;
    let stream = connect(&cluster.node(node.id)?, TELNET).await?;
    terminal::announce(&format!("telnet to {}", node.name));
    let name = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
    let protocol = Telnet::new(name, stdin().is_terminal());
    let end = terminal::attach(stream, protocol).await.map_err(|error| output::failed(&error))?;
    terminal::conclude(end);
    Ok(Exit::OK)
}
