//! Checks whether this host can run Open vSwitch, without starting it.

use std::io;

use xcluster_core::host::Namespace;
use xcluster_core::net::NetError;

use crate::config::{Instance, OvsConfig};
use crate::programs::Programs;
use crate::switch::Switch;

/// Checks the programs and their version, and a namespace with taps or the host's database.
pub(crate) fn probe(config: &OvsConfig) -> Result<(), NetError> {
    let programs = Programs::find(config)?;
    if config.instance == Instance::Private {
        Namespace::private()?.tun()?;
    }
    // A thread with its own runtime: the caller may be in a runtime, which must not block on itself.
    let probed = std::thread::scope(|scope| scope.spawn(|| in_runtime(config, &programs)).join());
    probed.unwrap_or_else(|_| Err(NetError::Other { message: "the probe panicked".to_owned(), source: None }))
}

fn in_runtime(config: &OvsConfig, programs: &Programs) -> Result<(), NetError> {
    let no_runtime = |error: io::Error| NetError::io("make a runtime", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_runtime)?;
    runtime.block_on(async {
        programs.check_version(config.instance).await?;
        match config.instance {
            Instance::Private => Ok(()),
            Instance::System => Switch::of_host(programs, &config.db).await.map(drop),
        }
    })
}
