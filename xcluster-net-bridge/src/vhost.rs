//! vhost: the kernel moves the frames between a tap and a guest. The configuration decides whether to use it.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use xcluster_core::net::NetError;

use crate::config::Vhost;
use crate::error;

/// Opens `/dev/vhost-net` once per queue pair; no descriptors if vhost is not used.
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
