//! What all nodes of a cluster share before the first one starts: a QEMU, a guest with its overlays, an accelerator, and
//! enough memory. Nothing that must be undone.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::task::spawn_blocking;

use super::error::Cause;
use super::event::Event;
use super::state::State;
use crate::guest::{self, AGENT_PORT, Footprint, Image, Overlay, QGA_PORT};
use crate::host::{allow_descriptors, available_memory};
use crate::plan::{GuestSource, Identity, Plan, PlannedNode, Readiness};
use crate::qemu::accel::{self, Sample};
use crate::qemu::command::{Accelerator, Boot, Initramfs, Machine};
use crate::qemu::disk;
use crate::qemu::version::{self, Qemu};

/// Descriptors that a node takes in its owner, with room for commands and connections.
const DESCRIPTORS_PER_NODE: u64 = 16;

/// The most boots at once that can be asked for: as many as there are nodes in the largest cluster.
const BOOTS_MAX: usize = 240;

/// What all nodes of a cluster share.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) qemu: Qemu,
    pub(super) accel: Accelerator,
    /// The initramfs with all overlays, if there is one: a file without a name, so that nothing is left of it.
    pub(super) initramfs: Option<Arc<OwnedFd>>,
    /// How long a node may take to get ready.
    pub(super) deadline: Duration,
    /// How many nodes boot at the same time.
    pub(super) boots: usize,
    kernel: Option<PathBuf>,
    /// Whether the kernel's command line may speak of things that only our guest knows.
    own_guest: bool,
    /// What the guest takes of a node's memory, where that can be told.
    footprint: Option<Footprint>,
}

/// Finds out what is there and makes what is missing.
pub(super) async fn prepare(state: &Rc<State>) -> Result<Prepared, Cause> {
    let plan = &state.plan;
    let options = &plan.options;
    enough_memory(plan)?;
    allow_descriptors(64 + DESCRIPTORS_PER_NODE * plan.nodes.len() as u64);
    let qemu = version::find(&options.qemu).await?;
    let (image, own_guest) = boot_files(state).await?;
    let sample = async || match image.clone() {
        Some(image) => Some(Sample { kernel: image.kernel, initramfs: image.initramfs }),
        // A disk image cannot be looked into: whether KVM works is seen with a guest that can.
        None => standard(state).await.ok().map(|image| Sample { kernel: image.kernel, initramfs: None }),
    };
    let verdict = accel::choose(&qemu, options.accel, sample).await?;
    *state.accel.borrow_mut() = Some(verdict.to_string());
    state.events.note(Event::Note { text: verdict.to_string() });
    let kernel = image.as_ref().map(|image| image.kernel.clone());
    let (initramfs, footprint) = match image {
        Some(image) => {
            let plan = plan.clone();
            let overlaid = spawn_blocking(move || overlaid(&image, &plan, own_guest)).await;
            overlaid.map_err(|error| Cause::io("put the initramfs together", io::Error::other(error)))??
        }
        None => (None, None),
    };
    let accel = verdict.accelerator;
    Ok(Prepared {
        accel,
        initramfs,
        deadline: options.deadline.unwrap_or(accel::boot_deadline(accel)),
        boots: options.boots.unwrap_or_else(|| accel::boots_at_once(accel)).clamp(1, BOOTS_MAX),
        qemu,
        kernel,
        own_guest,
        footprint,
    })
}

impl Prepared {
    /// The QEMU of a node whose NICs are wired.
    pub(super) fn machine(&self, plan: &Plan, planned: &PlannedNode, nics: Vec<crate::net::KvmArgs>) -> Machine {
        let options = &plan.options;
        let boot = match (&options.guest, &self.kernel) {
            (GuestSource::Disk { image }, _) => Boot::Disk { image: image.clone() },
            (_, kernel) => Boot::Kernel {
                kernel: kernel.clone().unwrap_or_default(),
                initramfs: self.initramfs.as_ref().map(|_| Initramfs::Descriptor),
                cmdline: self.cmdline(plan, planned),
            },
        };
        let agent = match options.readiness() {
            Readiness::Agent if !self.own_guest => Some(QGA_PORT),
            _ if self.own_guest => Some(AGENT_PORT),
            _ => None,
        };
        Machine {
            name: planned.name.clone(),
            machine: options.machine.clone(),
            accel: self.accel,
            memory: planned.node.memory,
            cpus: planned.node.cpus,
            boot,
            agent,
            nics,
            extra: options.qemu_args.clone(),
        }
    }

    fn cmdline(&self, plan: &Plan, planned: &PlannedNode) -> String {
        let mut words: Vec<String> = guest::KERNEL_ARGS.iter().map(|&word| word.to_owned()).collect();
        // That it fits was seen to when it was put together.
        let root = self.footprint.and_then(|footprint| footprint.root(planned.node.memory).ok().flatten());
        words.extend(root.map(str::to_owned));
        if plan.options.identity == Identity::Kernel {
            words.push(guest::args::id(planned.node.id));
        }
        if plan.addressing.ipv6_prefix != crate::addr::Ipv6Prefix::default() {
            words.push(guest::args::prefix(&plan.addressing.ipv6_prefix));
        }
        if !plan.options.login {
            words.push(guest::args::NO_LOGIN.to_owned());
        }
        if !planned.node.kernel_args.is_empty() {
            words.push(planned.node.kernel_args.clone());
        }
        words.join(" ")
    }
}

/// What the nodes boot; no image for a disk, which QEMU opens itself. And whether the initramfs is ours: only then does
/// anybody read what the topology writes into it.
async fn boot_files(state: &Rc<State>) -> Result<(Option<Image>, bool), Cause> {
    match &state.plan.options.guest {
        GuestSource::Standard => Ok((Some(standard(state).await?), true)),
        GuestSource::Kernel { kernel: Some(kernel), initramfs: Some(initramfs) } => {
            Ok((Some(Image::given(kernel, Some(initramfs))?), false))
        }
        GuestSource::Kernel { kernel, initramfs } => {
            let standard = standard(state).await?;
            let own_guest = initramfs.is_none();
            let kernel = kernel.as_ref().unwrap_or(&standard.kernel);
            let initramfs = initramfs.as_ref().or(standard.initramfs.as_ref());
            Ok((Some(Image::given(kernel, initramfs.map(PathBuf::as_path))?), own_guest))
        }
        GuestSource::Disk { image } => {
            disk::check(image)?;
            Ok((None, false))
        }
    }
}

async fn standard(state: &Rc<State>) -> Result<Image, Cause> {
    // A build goes on when its cluster has ended; those who listen to that cluster do not wait for it.
    let events = Arc::downgrade(&state.events);
    let note = move |text: &str| {
        if let Some(events) = events.upgrade() {
            events.note(Event::Note { text: text.to_owned() });
        }
    };
    let built = spawn_blocking(move || guest::standard_image(&note)).await;
    Ok(built.map_err(|error| Cause::io("build the guest", io::Error::other(error)))??)
}

/// The initramfs with everything that goes over it, in a file without a name, and what it takes of each node's memory.
fn overlaid(image: &Image, plan: &Plan, own_guest: bool) -> Result<(Option<Arc<OwnedFd>>, Option<Footprint>), Cause> {
    let mut overlays = Vec::new();
    if plan.options.configure && own_guest {
        overlays.push(Overlay::from_files(guest::topology::overlay(plan))?);
    }
    for path in &plan.options.overlays {
        overlays.push(Overlay::from_path(path)?);
    }
    if image.initramfs.is_none() && overlays.is_empty() {
        return Ok((None, None));
    }
    let footprint = image.footprint(&overlays);
    if let Some(footprint) = footprint {
        plan.nodes.iter().try_for_each(|planned| footprint.root(planned.node.memory).map(drop))?;
    }
    let failed = |error: io::Error| Cause::io("put the initramfs together", error);
    let memory = memfd_create(c"xcluster-initramfs", MFdFlags::MFD_CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let mut file = File::from(memory);
    image.write_initramfs(&overlays, &mut file).map_err(failed)?;
    Ok((Some(Arc::new(file.into())), footprint))
}

/// Refuses what the kernel would kill later. Idle guests take less than they were given, but not before they are idle.
fn enough_memory(plan: &Plan) -> Result<(), Cause> {
    let Some(available) = available_memory() else { return Ok(()) };
    let wanted = plan.memory();
    if wanted <= available { Ok(()) } else { Err(Cause::Memory { wanted, available }) }
}
