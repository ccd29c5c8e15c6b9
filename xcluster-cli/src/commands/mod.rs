//! The commands, one file each. A command parses its args, calls the library and prints the result. It has no other logic, so
//! that the library can do everything that the command line can.

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
use crate::owner;
use crate::report::{Failure, Outcome};
use crate::variables::Variables;

/// Runs the command.
pub(crate) fn run(args: &Args, variables: &Variables) -> Outcome {
    if matches!(args.command, Command::Owner { .. }) {
        owner::forget_inherited();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("start the async runtime", &error))?;
    let outcome = runtime.block_on(dispatch(args, variables));
    // A blocked write to a reader that does not read must not keep the process alive.
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
