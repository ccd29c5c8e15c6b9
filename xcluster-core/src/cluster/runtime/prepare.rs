//! Preparation of the parts that all nodes of a cluster share: a QEMU, a guest with its overlays, an accelerator, enough
//! memory. Nothing of it must be undone.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::boot_slots::BootSlots;
use super::initramfs::{Initramfs, InitramfsMaker};
use crate::cluster::error::Cause;
use crate::cluster::event::{Event, EventLog};
use crate::guest::{AGENT_PORT, QGA_PORT};
use crate::host::{available_memory, raise_fd_limit};
use crate::image::{self, Image, ImageError, kernel_args};
use crate::plan::{GuestSource, Identity, Plan, PlannedNode, Readiness};
use crate::qemu::accel::{self, AccelChoice, Sample};
use crate::qemu::command::{self, Accelerator, Boot, Machine};
use crate::qemu::disk;
use crate::qemu::version::{self, Qemu};

/// Descriptors that a node takes in its owner, with room for commands and connections.
const DESCRIPTORS_PER_NODE: u64 = 16;

/// The most boots at once that can be asked for: as many as there are nodes in the largest cluster.
const BOOTS_MAX: usize = 240;

/// The parts that all nodes of a cluster share.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) qemu: Qemu,
    pub(super) accel: Accelerator,
    /// How long a node may take to get ready.
    pub(super) deadline: Duration,
    pub(super) slots: BootSlots,
    /// How processors are virtualised and why, for people.
    pub(super) verdict: AccelChoice,
    kernel: Option<PathBuf>,
    /// Whether the kernel args may contain what only our guest understands.
    own_guest: bool,
    /// None if the nodes boot a disk.
    initramfs: Option<InitramfsMaker>,
}

/// Finds what is there and makes what is missing. `all` says that the nodes of the plan are about to be started.
pub(super) async fn prepare(plan: &Arc<Plan>, events: &Arc<EventLog>, all: bool) -> Result<Prepared, Cause> {
    let options = &plan.options;
    if all {
        enough_memory(plan.memory())?;
    }
    raise_fd_limit_for(plan);
    let qemu = version::find(&options.qemu).await?;
    let (image, own_guest) = boot_files(plan, events).await?;
    let sample = async || match image.clone() {
        Some(image) => Some(Sample { kernel: image.kernel, initramfs: image.initramfs }),
        // A disk image may show nothing on its console, so KVM is tried with the standard guest.
        None => standard(events).await.ok().map(|image| Sample { kernel: image.kernel, initramfs: None }),
    };
    let verdict = accel::choose(&qemu, options.accel, sample).await?;
    events.note(Event::Note { text: verdict.to_string() });
    let kernel = image.as_ref().map(|image| image.kernel.clone());
    let initramfs = match image {
        Some(image) => Some(InitramfsMaker::new(image, plan, own_guest).await?),
        None => None,
    };
    // A guest that does not fit into a node fails before anything is made.
    if let (Some(maker), true) = (&initramfs, all) {
        let made = maker.make(plan).await?;
        plan.nodes.iter().try_for_each(|planned| root(&made, planned).map(drop))?;
    }
    let accel = verdict.accelerator;
    Ok(Prepared {
        accel,
        initramfs,
        deadline: options.deadline.unwrap_or(accel::boot_deadline(accel)),
        slots: BootSlots::new(options.boots.unwrap_or_else(|| accel::boots_at_once(accel)).clamp(1, BOOTS_MAX)),
        verdict,
        qemu,
        kernel,
        own_guest,
    })
}

impl Prepared {
    /// What the nodes of this plan boot.
    pub(super) async fn initramfs(&self, plan: &Arc<Plan>) -> Result<Initramfs, Cause> {
        match &self.initramfs {
            Some(maker) => maker.make(plan).await,
            None => Ok(Initramfs::default()),
        }
    }

    /// The QEMU of a node whose ports are set up.
    pub(super) fn machine(
        &self,
        plan: &Plan,
        planned: &PlannedNode,
        initramfs: &Initramfs,
        nics: Vec<crate::net::KvmArgs>,
    ) -> Result<Machine, Cause> {
        let options = &plan.options;
        let boot = match (&options.guest, &self.kernel) {
            (GuestSource::Disk { image }, _) => Boot::Disk { image: image.clone() },
            (_, kernel) => Boot::Kernel {
                kernel: kernel.clone().unwrap_or_default(),
                initramfs: initramfs.file.as_ref().map(|_| command::Initramfs::Descriptor),
                cmdline: self.cmdline(plan, planned, root(initramfs, planned)?),
            },
        };
        let agent = match options.readiness() {
            Readiness::Agent if !self.own_guest => Some(QGA_PORT),
            _ if self.own_guest => Some(AGENT_PORT),
            _ => None,
        };
        Ok(Machine {
            name: planned.name.clone(),
            machine: options.machine.clone(),
            accel: self.accel,
            memory: planned.node.memory,
            cpus: planned.node.cpus,
            boot,
            agent,
            nics,
            extra: options.qemu_args_of(planned.node.id),
        })
    }

    fn cmdline(&self, plan: &Plan, planned: &PlannedNode, root: Option<&'static str>) -> String {
        let mut args: Vec<String> = kernel_args::KERNEL_ARGS.iter().map(|&arg| arg.to_owned()).collect();
        args.extend(root.map(str::to_owned));
        if plan.options.identity == Identity::Kernel {
            args.push(kernel_args::id(planned.node.id));
        }
        if plan.addressing.ipv6_prefix != crate::addr::Ipv6Prefix::default() {
            args.push(kernel_args::prefix(&plan.addressing.ipv6_prefix));
        }
        if !plan.options.login {
            args.push(kernel_args::NO_LOGIN.to_owned());
        }
        if !planned.node.kernel_args.is_empty() {
            args.push(planned.node.kernel_args.clone());
        }
        args.join(" ")
    }
}

/// The image that the nodes boot; none for a disk, which QEMU opens itself. And whether the initramfs is ours: only that
/// one reads the topology overlay.
async fn boot_files(plan: &Plan, events: &Arc<EventLog>) -> Result<(Option<Image>, bool), Cause> {
    match &plan.options.guest {
        GuestSource::Standard => Ok((Some(standard(events).await?), true)),
        GuestSource::Kernel { kernel: Some(kernel), initramfs: Some(initramfs) } => {
            Ok((Some(Image::given(kernel, Some(initramfs))?), false))
        }
        GuestSource::Kernel { kernel, initramfs } => {
            let standard = standard(events).await?;
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

async fn standard(events: &Arc<EventLog>) -> Result<Image, Cause> {
    // A build goes on when its cluster has ended; listeners of that cluster do not wait for it.
    let events = Arc::downgrade(events);
    let note = move |text: &str| {
        if let Some(events) = events.upgrade() {
            events.note(Event::Note { text: text.to_owned() });
        }
    };
    let built = spawn_blocking(move || image::standard_image(&note)).await;
    Ok(built.map_err(|error| Cause::io("build the guest", io::Error::other(error)))??)
}

/// The argument by which a node's kernel gets a root that all files fit into, if it needs one.
fn root(initramfs: &Initramfs, planned: &PlannedNode) -> Result<Option<&'static str>, Cause> {
    let Some(footprint) = initramfs.footprint else { return Ok(None) };
    Ok(footprint.root(planned.node.memory).map_err(ImageError::from)?)
}

/// Raises the owner's limit of open descriptors to what the nodes of this plan take.
pub(super) fn raise_fd_limit_for(plan: &Plan) {
    raise_fd_limit(64 + DESCRIPTORS_PER_NODE * plan.nodes.len() as u64);
}

/// Refuses nodes that the kernel would kill later. Idle guests take less than they were given, but not before they are idle.
pub(super) fn enough_memory(wanted: u64) -> Result<(), Cause> {
    let Some(available) = available_memory() else { return Ok(()) };
    if wanted <= available { Ok(()) } else { Err(Cause::Memory { wanted, available }) }
}
