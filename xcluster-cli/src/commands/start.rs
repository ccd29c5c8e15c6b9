//! `start`: starts a cluster, in a new owner process or in this process.

use std::io::{Write, stderr};

use xcluster_core::{ClusterStatus, Event, NodeState};

use super::select::logs_in;
use super::status::{name_option, text};
use crate::args::StartArgs;
use crate::exit::Exit;
use crate::output::{print, print_json};
use crate::owner::{StartObserver, launch, run_owner};
use crate::progress::Progress;
use crate::report::{Failure, Outcome};
use crate::settings::{DefaultBackend, Settings};
use crate::variables::Variables;

/// Starts a cluster and prints its status.
pub(super) async fn run(args: &StartArgs, variables: &Variables, verbose: u8) -> Outcome {
    let mut settings = Settings::new(&args.cluster, variables)?;
    settings.no_nodes = args.no_nodes;
    let choice = settings.choose_backend()?;
    // All mistakes are reported before anything is started.
    settings.plan()?;
    if let Some(choice) = choice {
        explain(&choice);
    }
    if args.foreground {
        return run_owner(&settings, &mut Foreground { progress: Progress::new(), json: args.json.json }).await;
    }
    let status = launch(&settings, verbose).await?;
    show(&status, args.json.json)?;
    Ok(Exit::OK)
}

/// Prints the default backend and the reason. A closed standard error is ignored: `status` shows the backend too.
pub(super) fn explain(choice: &DefaultBackend) {
    let remedy = choice.remedy().map(|remedy| format!("hint: `{remedy}` makes `bridge` possible, which is faster\n"));
    let _ = write!(stderr(), "nets: {choice}\n{}", remedy.unwrap_or_default());
}

/// Prints the status and the next commands.
fn show(status: &ClusterStatus, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(status);
    }
    print(&text(status))?;
    // A closed standard error is ignored.
    let _ = stderr().write_all(next_steps(status).as_bytes());
    Ok(())
}

fn next_steps(status: &ClusterStatus) -> String {
    let name = name_option(&status.name);
    let node = status.nodes.first().map_or(1, |node| node.id.number());
    if status.nodes.iter().all(|node| node.state == NodeState::Waiting) {
        return format!("\nnext:\n  xcluster boot{name} {node}   boot a node\n");
    }
    let mut lines = vec![
        (format!("xcluster exec{name} all -- ip -brief address"), "run a command in all nodes"),
        (format!("xcluster console{name} {node}"), "open a serial console"),
        (format!("xcluster stop{name}"), "stop the cluster"),
    ];
    if logs_in(status) {
        lines.insert(0, (format!("xcluster vm{name} {node}"), "open a terminal"));
    }
    let width = lines.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    let lines = lines.iter().map(|(command, what)| format!("  {command:width$}   {what}\n"));
    format!("\nnext:\n{}", lines.collect::<String>())
}

/// The terminal of `start --foreground`.
#[derive(Debug)]
struct Foreground {
    progress: Progress,
    json: bool,
}

impl StartObserver for Foreground {
    async fn event(&mut self, event: Event) -> Result<(), Failure> {
        self.progress.show(&event);
        Ok(())
    }

    async fn ready(&mut self, status: ClusterStatus) -> Result<(), Failure> {
        self.progress.finish();
        show(&status, self.json)?;
        if !self.json {
            let _ = writeln!(stderr(), "\nCtrl-C stops the cluster.");
        }
        Ok(())
    }

    async fn gone(&mut self) {
        std::future::pending().await
    }
}
