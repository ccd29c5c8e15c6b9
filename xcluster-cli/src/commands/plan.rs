//! `plan`: shows what a start would do.

use xcluster_core::topology::Topology;

use super::select::attach;
use super::start::explain;
use crate::args::PlanArgs;
use crate::exit::Exit;
use crate::output::{print, print_json};
use crate::report::Outcome;
use crate::settings::Settings;
use crate::variables::Variables;

/// Prints the plan, the topology or the schema. It checks what this host can do, and changes nothing.
pub(super) async fn run(args: &PlanArgs, variables: &Variables) -> Outcome {
    if args.schema {
        print(&format!("{}\n", Topology::json_schema()))?;
        return Ok(Exit::OK);
    }
    if args.running {
        let plan = attach(&args.cluster.name, variables).await?.plan();
        if args.json.json { print_json(&*plan) } else { print(&plan.to_string()) }?;
        return Ok(Exit::OK);
    }
    let mut settings = Settings::new(&args.cluster, variables)?;
    // A topology file is valid on every host, so no backend is chosen.
    if let Some(choice) = if args.toml { None } else { settings.choose_backend()? } {
        explain(&choice);
    }
    let plan = settings.plan()?;
    match () {
        () if args.toml => print(&settings.topology.to_toml()),
        () if args.json.json => print_json(&plan),
        () => print(&plan.to_string()),
    }?;
    Ok(Exit::OK)
}
