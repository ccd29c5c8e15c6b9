//! The kernel's own way between a tap and a guest. Whether it is worth it is the configuration's choice.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use xcluster_core::net::NetError;

use crate::config::Vhost;
use crate::error;

/// So many descriptors of it, as one per pair of queues is taken; none if there are to be none.
pub(crate) fn open(vhost: Vhost, count: usize) -> Result<Vec<Arc<OwnedFd>>, NetError> {
    let opened = || -> io::Result<Vec<Arc<OwnedFd>>> {
        let file = || OpenOptions::new().read(true).write(true).open("/dev/vhost-net");
        (0..count).map(|_| Ok(Arc::new(file()?.into()))).collect()
    };
    match vhost {
        Vhost::Off => Ok(Vec::new()),
        Vhost::Auto => Ok(opened().unwrap_or_default()),
        Vhost::On => opened().map_err(|source| error::no_vhost(&source)),
    }
}
