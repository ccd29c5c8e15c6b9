//! `env`: shows the environment variables that xcluster reads, or the ports of a cluster as shell variables.

mod shell;

use std::io::{Write, stderr};

use serde::Serialize;
use xcluster_core::ClusterStatus;

use super::select::attach;
use crate::args::EnvArgs;
use crate::exit::Exit;
use crate::output::{print, print_json, table};
use crate::report::Outcome;
use crate::variables::{KNOWN, Variable, Variables};

/// Prints the variables with their values, or the ports.
pub(super) async fn run(args: &EnvArgs, variables: &Variables) -> Outcome {
    if args.shell {
        print(&shell::assignments(&args.name, variables)?)?;
        return Ok(Exit::OK);
    }
    if args.ports {
        let status = attach(&args.name, variables).await?.status().await?;
        let exports = exports(&status);
        print(&exports)?;
        if exports.is_empty() {
            // A closed standard error is ignored.
            let _ = writeln!(stderr(), "no port of this host leads to the nodes; `xcluster forward` makes some");
        }
        return Ok(Exit::OK);
    }
    let rows: Vec<Row<'_>> = KNOWN.iter().flat_map(|known| rows(known, variables)).collect();
    if args.json.json { print_json(&rows) } else { print(&text(&rows)) }?;
    Ok(Exit::OK)
}

/// A variable as `--json` prints it.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    value: Option<&'a str>,
    option: Option<&'static str>,
    meaning: &'static str,
}

/// The rows of a variable. A pattern such as `__mem<N>` has a row for each variable that is set, or one row if none is.
fn rows<'a>(known: &'static Variable, variables: &'a Variables) -> Vec<Row<'a>> {
    let row = |name, value| Row { name, value, option: known.option, meaning: known.meaning };
    let set: Vec<Row<'a>> = variables.of(known).map(|(name, value)| row(name, Some(value))).collect();
    if set.is_empty() { vec![row(known.name, None)] } else { set }
}

fn text(rows: &[Row<'_>]) -> String {
    let cells = rows.iter().map(|row| {
        [row.name, row.value.unwrap_or("-"), row.option.unwrap_or_default(), row.meaning].map(str::to_owned)
    });
    let table = table(["VARIABLE", "VALUE", "OPTION", "MEANING"], cells);
    format!("{table}\nAn option wins over its variable, a variable over the topology file.\n")
}

/// A line per forwarded port: `export XCLUSTER_VM_002_SSH=127.0.0.1:12302`.
fn exports(status: &ClusterStatus) -> String {
    let forwards = status.nodes.iter().flat_map(|node| node.forwards.iter().map(move |forward| (node, forward)));
    let lines = forwards.map(|(node, forward)| {
        let service = match forward.port {
            22 => "SSH".to_owned(),
            23 => "TELNET".to_owned(),
            port => port.to_string(),
        };
        let node = node.name.to_uppercase().replace('-', "_");
        format!("export XCLUSTER_{node}_{service}={}\n", forward.host)
    });
    lines.collect()
}
