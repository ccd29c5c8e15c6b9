//! Scripts as the backend `script` runs them: the contract of backends kept by two of the known kinds, what a script may
//! rely on, and everything that one can do wrong.

mod contract;
mod faults;
mod fixture;
mod leftovers;
mod qemu_netns;

use std::env;
use std::process::{Command, ExitCode};

use xcluster_core::host::Namespace;
use xcluster_core::testing::harness::{self, Test};

/// Set for the program that may make links.
const PRIVILEGED: &str = "XCLUSTER_TEST_SCRIPT_PRIVILEGED";

fn main() -> ExitCode {
    match again() {
        Some(code) => code,
        None => harness::main(tests()),
    }
}

fn tests() -> Vec<Test> {
    [contract::tests(), faults::tests(), leftovers::tests(), qemu_netns::tests()].into_iter().flatten().collect()
}

/// Executes this program once more where `ip` may make links, as it may for users of such scripts: there it has the
/// privilege from its caller. Where there is no such place, the harness says so.
fn again() -> Option<ExitCode> {
    if env::var_os(PRIVILEGED).is_some() {
        return None;
    }
    let inside = Namespace::private().ok()?.inside().ok()??;
    let mut command = Command::new(env::current_exe().ok()?);
    command.args(env::args_os().skip(1)).env(PRIVILEGED, "1");
    inside.enter(&mut command);
    let code = command.status().ok()?.code().and_then(|code| u8::try_from(code).ok());
    Some(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Tests that are functions, by their names.
macro_rules! named {
    ($($name:ident),* $(,)?) => {
        vec![$(xcluster_core::testing::harness::test(stringify!($name), $name)),*]
    };
}
use named;
