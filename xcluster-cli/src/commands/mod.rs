//! The commands, one file each. A command turns what was typed into settings, has the library do them, and prints what
//! came of it; whatever else it knew would be missing from the library.

mod boot;
mod completions;
mod connect;
mod console;
mod cp;
mod doctor;
mod env;
mod exec;
mod forward;
mod image;
mod man;
mod net_setup;
mod nsadd;
mod nsdel;
mod nsenter;
mod open_if_needed;
mod plan;
mod plugins;
mod select;
mod ssh;
mod start;
mod status;
mod stop;
mod vm;

use crate::args::{Args, Command};
use crate::exit::Exit;
use crate::owner;
use crate::report::Failure;
use crate::variables::Variables;

/// How a command ends.
pub(crate) type Outcome = Result<Exit, Failure>;

/// Does what was typed.
pub(crate) fn run(args: &Args, variables: &Variables) -> Outcome {
    if matches!(args.command, Command::Owner { .. }) {
        owner::forget_inherited();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("begin", &error))?;
    let outcome = runtime.block_on(dispatch(args, variables));
    // What writes to somebody who does not read must not keep us from ending.
    runtime.shutdown_background();
    outcome
}

async fn dispatch(args: &Args, variables: &Variables) -> Outcome {
    match &args.command {
        Command::Start(start) => start::run(start, variables, args.verbose).await,
        Command::Boot(boot) => boot::run(boot, variables, args.verbose).await,
        Command::NetSetup(setup) => net_setup::run(setup, variables, args.verbose).await,
        Command::Stop(args) => stop::run(args, variables).await,
        Command::Status(args) => status::run(args, variables).await,
        Command::Plan(args) => plan::run(args, variables).await,
        Command::Plugins(args) => plugins::run(args),
        Command::Exec(args) => exec::run(args, variables).await,
        Command::Console(args) => console::run(args, variables).await,
        Command::Vm(args) => vm::run(args, variables).await,
        Command::Ssh(args) => ssh::run(args, variables).await,
        Command::Cp(args) => cp::run(args, variables).await,
        Command::Forward(args) => forward::run(args, variables).await,
        Command::Connect(args) => connect::run(args, variables).await,
        Command::Nsadd(args) => nsadd::run(args, variables).await,
        Command::Nsdel(args) => nsdel::run(args, variables).await,
        Command::Nsenter(args) => nsenter::run(args).await,
        Command::Image(args) => image::run(args),
        Command::Doctor(args) => doctor::run(args, variables).await,
        Command::Env(args) => env::run(args, variables).await,
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
        Command::Owner { .. } => owner::own().await,
    }
}
