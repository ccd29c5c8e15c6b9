//! The initramfs that a cluster's nodes boot, with all overlays, in a file without a name, so that nothing is left of it. It
//! is made again when the plan has changed.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::cluster::error::Cause;
use crate::image::topology_overlay;
use crate::image::{Footprint, Image, Overlay, OverlayFile};
use crate::plan::Plan;

/// Makes the initramfs of a cluster's nodes, and keeps the last one.
#[derive(Debug)]
pub(super) struct InitramfsMaker {
    parts: Arc<Parts>,
    /// Whether the guest reads the topology overlay.
    configures: bool,
    last: Mutex<Option<Made>>,
}

/// The last initramfs, and what it was made from.
#[derive(Debug)]
struct Made {
    plan: Arc<Plan>,
    /// The topology overlay.
    files: Vec<OverlayFile>,
    initramfs: Initramfs,
}

/// The parts that are the same for every plan.
#[derive(Debug)]
struct Parts {
    image: Image,
    /// The user's overlays.
    overlays: Vec<Overlay>,
}

/// An initramfs that nodes can boot.
#[derive(Debug, Clone, Default)]
pub(super) struct Initramfs {
    /// None if there is none.
    pub(super) file: Option<Arc<OwnedFd>>,
    /// Its share of a node's memory, where that is known.
    pub(super) footprint: Option<Footprint>,
}

impl InitramfsMaker {
    /// For a plan's guest. Reads the user's overlays, once.
    pub(super) async fn new(image: Image, plan: &Plan, own_guest: bool) -> Result<Self, Cause> {
        let paths = plan.options.overlays.clone();
        let read = move || paths.iter().map(|path| Overlay::from_path(path)).collect::<Result<Vec<_>, _>>();
        let overlays = spawn_blocking(read).await.map_err(aborted)??;
        let configures = plan.options.configure && own_guest;
        Ok(Self { parts: Arc::new(Parts { image, overlays }), configures, last: Mutex::default() })
    }

    /// The initramfs for nodes of this plan.
    pub(super) async fn make(&self, plan: &Arc<Plan>) -> Result<Initramfs, Cause> {
        let mut last = self.last.lock().await;
        // All nodes of a start have the same plan, and generating its files takes a while with many nodes.
        if let Some(last) = last.as_ref().filter(|last| Arc::ptr_eq(&last.plan, plan)) {
            return Ok(last.initramfs.clone());
        }
        let files = if self.configures { topology_overlay::overlay(plan) } else { Vec::new() };
        let initramfs = match last.take() {
            Some(last) if last.files == files => last.initramfs,
            _ => self.assemble(files.clone()).await?,
        };
        *last = Some(Made { plan: plan.clone(), files, initramfs: initramfs.clone() });
        Ok(initramfs)
    }

    async fn assemble(&self, files: Vec<OverlayFile>) -> Result<Initramfs, Cause> {
        let parts = self.parts.clone();
        spawn_blocking(move || parts.assemble(files)).await.map_err(aborted)?
    }
}

impl Parts {
    /// The user's overlays come after the topology's, so that they win.
    fn assemble(&self, files: Vec<OverlayFile>) -> Result<Initramfs, Cause> {
        let mut overlays = Vec::new();
        if !files.is_empty() {
            overlays.push(Overlay::from_files(files)?);
        }
        overlays.extend(self.overlays.iter().cloned());
        if self.image.initramfs.is_none() && overlays.is_empty() {
            return Ok(Initramfs::default());
        }
        let failed = |error: io::Error| Cause::io("make the initramfs", error);
        let memory =
            memfd_create(c"xcluster-initramfs", MFdFlags::MFD_CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let mut file = File::from(memory);
        self.image.write_initramfs(&overlays, &mut file).map_err(failed)?;
        Ok(Initramfs { file: Some(Arc::new(file.into())), footprint: self.image.footprint(&overlays) })
    }
}

fn aborted(error: tokio::task::JoinError) -> Cause {
    Cause::io("make the initramfs", io::Error::other(error))
}
