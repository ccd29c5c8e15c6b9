//! `vm`: a terminal to a node, by telnet on the internal net.

use std::io::{IsTerminal, stdin};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Outcome;
use super::attach::{address, attach, one};
use crate::args::VmArgs;
use crate::exit::Exit;
use crate::output;
use crate::report::Failure;
use crate::terminal::{self, telnet::Telnet};
use crate::variables::Variables;

/// The port of telnet in a node.
const TELNET: u16 = 23;

/// How long the connection may take. It only goes to this host, which hands it to the node.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Opens the terminal.
pub(super) async fn run(args: &VmArgs, variables: &Variables) -> Outcome {
    let status = attach(&args.name, variables).await?.status().await?;
    let node = one(&args.node, &status)?;
    let address = address(node, TELNET, "telnet", &status)?;
    let connected = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
    let stream = connected
        .map_err(std::io::Error::from)
        .and_then(|connected| connected)
        .map_err(|error| Failure::io(format!("connect to {} at {address}", node.name), &error))?;
    terminal::announce(&format!("telnet to {}", node.name));
    let name = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
    let wire = Telnet::new(name, stdin().is_terminal());
    let end = terminal::attach(stream, wire).await.map_err(|error| output::failed(&error))?;
    terminal::conclude(end);
    Ok(Exit::OK)
}
