//! Plugins as the library loads them: a switch in C keeps the contract of backends, and whatever a plugin does wrong is told and
//! harms nobody. The plugins are compiled by `cc`, as their authors would.

mod contract;
mod descriptors;
mod faults;
mod fixture;
mod lifecycle;
mod panicking;

use std::process::ExitCode;

use xcluster_core::testing::harness;

fn main() -> ExitCode {
    if let Some(code) = lifecycle::hanging() {
        return code;
    }
    // A plugin may have threads: it is loaded where they may be.
    harness::main_with(|| {
        let tests = [contract::tests(), descriptors::tests(), faults::tests(), lifecycle::tests(), panicking::tests()];
        tests.into_iter().flatten().collect()
    })
}

/// Tests that are functions, by their names.
macro_rules! named {
    ($($name:ident),* $(,)?) => {
        vec![$(xcluster_core::testing::harness::test(stringify!($name), $name)),*]
    };
}
use named;
