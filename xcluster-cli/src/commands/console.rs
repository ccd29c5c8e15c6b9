//! `console`: the serial console of a node.

use super::select::{attach, one};
use crate::args::ConsoleArgs;
use crate::exit::Exit;
use crate::output;
use crate::report::Outcome;
use crate::terminal::{self, Plain};
use crate::variables::Variables;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use xcluster_core::Console;

/// Opens the console, or prints its output so far.
pub(super) async fn run(args: &ConsoleArgs, variables: &Variables) -> Outcome {
    let cluster = attach(&args.name, variables).await?;
    let node = cluster.node(one(&args.node, &cluster.status().await?)?.id)?;
    if args.log {
        output::print(&node.console_text().await?)?;
        return Ok(Exit::OK);
    }
    let stream = stream(node.console().await?);
    terminal::announce(&format!("console of {}", node.name()));
    let end = terminal::attach(stream, Plain).await.map_err(|error| output::failed(&error))?;
    terminal::conclude(end);
    Ok(Exit::OK)
}

/// How many bytes of a console may wait in each direction.
const BUFFER: usize = 16 * 1024;

/// The console as a stream, which ends when the node does. Both directions end together.
fn stream(mut console: Console) -> DuplexStream {
    let (ours, theirs) = duplex(BUFFER);
    tokio::spawn(async move {
        let (mut reader, mut writer) = split(ours);
        let input = console.input();
        let typing = async {
            let mut buffer = vec![0; BUFFER];
            while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                if !input.send(&buffer[..count]).await {
                    return;
                }
            }
        };
        let showing = async {
            while let Some(bytes) = console.next().await {
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = typing => {}
            () = showing => {}
        }
    });
    theirs
}
