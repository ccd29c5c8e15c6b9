//! Plugins as the library loads them: a switch in C keeps the contract of backends, and every fault of a plugin is reported
//! without harm. `cc` compiles the plugins, as for their authors.

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
    // A plugin may have threads, so it is loaded in a program that may have some.
    harness::main_with(|| {
        let tests = [contract::tests(), descriptors::tests(), faults::tests(), lifecycle::tests(), panicking::tests()];
        tests.into_iter().flatten().collect()
    })
}

/// Test functions, with their names.
macro_rules! named {
    ($($name:ident),* $(,)?) => {
        vec![$(xcluster_core::testing::harness::test(stringify!($name), $name)),*]
    };
}
use named;
