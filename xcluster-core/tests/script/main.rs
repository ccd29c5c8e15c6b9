//! The backend `script`: two common kinds of scripts keep the contract of backends; the environment of a script; and all
//! faults.

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

/// Executes this program again where `ip` may make links. Users of such scripts have that privilege from their caller. If the
/// host does not allow it, the harness reports that.
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

/// Test functions, with their names.
macro_rules! named {
    ($($name:ident),* $(,)?) => {
        vec![$(xcluster_core::testing::harness::test(stringify!($name), $name)),*]
    };
}
use named;
