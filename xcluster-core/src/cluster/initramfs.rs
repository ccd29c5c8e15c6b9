//! What the nodes of a cluster boot: the guest's initramfs with all overlays, in a file without a name, so that nothing is
//! left of it. Made again when the plan says something else.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::error::Cause;
use crate::image::topology_overlay;
use crate::image::{Footprint, Image, Overlay, OverlayFile};
use crate::plan::Plan;

/// Puts the initramfs of a cluster's nodes together.
#[derive(Debug)]
pub(super) struct Maker {
    parts: Arc<Parts>,
    /// Whether the guest reads what the topology writes.
    configures: bool,
    last: Mutex<Option<Made>>,
}

/// What was made last.
#[derive(Debug)]
struct Made {
    plan: Arc<Plan>,
    /// What the topology wrote into it.
    files: Vec<OverlayFile>,
    initramfs: Initramfs,
}

/// What is the same for every plan.
#[derive(Debug)]
struct Parts {
    image: Image,
    /// The user's own.
    overlays: Vec<Overlay>,
}

/// An initramfs that nodes can boot.
#[derive(Debug, Clone, Default)]
pub(super) struct Initramfs {
    /// None if there is none.
    pub(super) file: Option<Arc<OwnedFd>>,
    /// What it takes of a node's memory, where that can be told.
    pub(super) footprint: Option<Footprint>,
}

impl Maker {
    /// For a plan's guest. The user's overlays are read now, and only now.
    pub(super) async fn new(image: Image, plan: &Plan, own_guest: bool) -> Result<Self, Cause> {
        let paths = plan.options.overlays.clone();
        let read = move || paths.iter().map(|path| Overlay::from_path(path)).collect::<Result<Vec<_>, _>>();
        let overlays = spawn_blocking(read).await.map_err(broken_off)??;
        let configures = plan.options.configure && own_guest;
        Ok(Self { parts: Arc::new(Parts { image, overlays }), configures, last: Mutex::default() })
    }

    /// The initramfs for nodes of this plan.
    pub(super) async fn make(&self, plan: &Arc<Plan>) -> Result<Initramfs, Cause> {
        let mut last = self.last.lock().await;
        // In a start the plan is the same for all, and to write its files takes a while where there are many.
        if let Some(last) = last.as_ref().filter(|last| Arc::ptr_eq(&last.plan, plan)) {
            return Ok(last.initramfs.clone());
        }
        let files = if self.configures { topology_overlay::overlay(plan) } else { Vec::new() };
        let initramfs = match last.take() {
            Some(last) if last.files == files => last.initramfs,
            _ => self.put_together(files.clone()).await?,
        };
        *last = Some(Made { plan: plan.clone(), files, initramfs: initramfs.clone() });
        Ok(initramfs)
    }

    async fn put_together(&self, files: Vec<OverlayFile>) -> Result<Initramfs, Cause> {
        let parts = self.parts.clone();
        spawn_blocking(move || parts.put_together(files)).await.map_err(broken_off)?
    }
}

impl Parts {
    /// The user's overlays come after the topology's, so that they win.
    fn put_together(&self, files: Vec<OverlayFile>) -> Result<Initramfs, Cause> {
        let mut overlays = Vec::new();
        if !files.is_empty() {
            overlays.push(Overlay::from_files(files)?);
        }
        overlays.extend(self.overlays.iter().cloned());
        if self.image.initramfs.is_none() && overlays.is_empty() {
            return Ok(Initramfs::default());
        }
        let failed = |error: io::Error| Cause::io("put the initramfs together", error);
        let memory =
            memfd_create(c"xcluster-initramfs", MFdFlags::MFD_CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let mut file = File::from(memory);
        self.image.write_initramfs(&overlays, &mut file).map_err(failed)?;
        Ok(Initramfs { file: Some(Arc::new(file.into())), footprint: self.image.footprint(&overlays) })
    }
}

fn broken_off(error: tokio::task::JoinError) -> Cause {
    Cause::io("put the initramfs together", io::Error::other(error))
}
