//! Finds out whether guests run on KVM on this host, by running one. It is not enough that `/dev/kvm` can be opened: on a host
//! that is a VM itself, KVM may create a VM and then let the guest hang in its first second.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::command::{Accelerator, Boot, CONSOLE, Initramfs, MONITOR, Machine};
use super::process::{Launch, Process, describe};
use super::version::Qemu;
use crate::error_chain;
use crate::host::HostLock;
use crate::host::PrivateDir;
use crate::net::QemuNetns;
use crate::plan::Accel;

/// How long a guest on KVM may take to start its first process. On hardware it takes half a second.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// The text that the kernel prints when it starts its first process, unless it has the argument `quiet`.
const SIGN: &[u8] = b"Run /";

/// How long a node on KVM may take until it is ready. Usually it takes a second.
const DEADLINE_KVM: Duration = Duration::from_secs(30);

/// How long a node on TCG may take until it is ready. It takes three seconds of a core, which many nodes may share.
const DEADLINE_TCG: Duration = Duration::from_secs(120);

/// The accelerator that was chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AccelChoice {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Why KVM cannot be used; `None` if it is used, or if TCG was requested.
    pub obstacle: Option<String>,
}

impl fmt::Display for AccelChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.accelerator, &self.obstacle) {
            (Accelerator::Kvm, _) => f.write_str("processors: KVM"),
            (Accelerator::Tcg, None) => f.write_str("processors: emulated (TCG)"),
            (Accelerator::Tcg, Some(why)) => write!(f, "processors: emulated (TCG), because {why}"),
        }
    }
}

/// KVM was requested and does not work.
#[derive(thiserror::Error)]
#[error("KVM was requested, and {0}")]
pub struct AccelError(String);

error_chain::readable_debug!(AccelError);

/// A guest to try KVM with.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its kernel.
    pub kernel: PathBuf,
    /// Its initramfs.
    pub initramfs: Option<PathBuf>,
}

/// Chooses the accelerator. The result of an earlier try is used if it was with this kernel, this boot of the host and this QEMU;
/// otherwise the guest of `sample` is run. Must be called in a `LocalSet`, on a thread that outlives the call.
///
/// # Errors
/// KVM was requested and does not work.
pub async fn choose(
    qemu: &Qemu,
    wanted: Accel,
    sample: impl AsyncFnOnce() -> Option<Sample>,
) -> Result<AccelChoice, AccelError> {
    let emulated = |obstacle| AccelChoice { accelerator: Accelerator::Tcg, obstacle };
    if wanted == Accel::Tcg {
        return Ok(emulated(None));
    }
    match (obstacle(qemu, sample).await, wanted) {
        (None, _) => Ok(AccelChoice { accelerator: Accelerator::Kvm, obstacle: None }),
        (Some(why), Accel::Kvm) => Err(AccelError(why)),
        (Some(why), _) => Ok(emulated(Some(why))),
    }
}

/// Returns how long a node may take until it is ready.
pub const fn boot_deadline(accelerator: Accelerator) -> Duration {
    match accelerator {
        Accelerator::Kvm => DEADLINE_KVM,
        Accelerator::Tcg => DEADLINE_TCG,
    }
}

/// Returns how many nodes boot at the same time. On TCG a boot uses a whole core, so more boots than cores only slow each other
/// down. On KVM a boot also waits for its devices, so twice as many are useful.
pub fn boots_at_once(accelerator: Accelerator) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    match accelerator {
        Accelerator::Kvm => 2 * cores,
        Accelerator::Tcg => cores,
    }
}

/// Returns why KVM cannot be used; `None` if it can.
async fn obstacle(qemu: &Qemu, sample: impl AsyncFnOnce() -> Option<Sample>) -> Option<String> {
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return Some(format!("`/dev/kvm` cannot be opened: {error}"));
    }
    let key = key(qemu);
    let memory = memory_path();
    let known = || recall(memory.as_deref()?, &key);
    if let Some(known) = known() {
        return known;
    }
    // Only one process tries KVM; the others wait and use its result.
    let what = format!("kvm-probe/{}", nix::unistd::Uid::effective());
    let _lock = match HostLock::take_one_of(&what, 1, 3 * SIGN_OF_LIFE).await {
        Ok(lock) => lock,
        // TCG is the safe choice: a guest on a broken KVM hangs.
        Err(error) => return Some(format!("KVM cannot be tried: {}", error_chain::one_line(&error))),
    };
    if let Some(known) = known() {
        return known;
    }
    let Some(sample) = sample().await else {
        return Some("there is no kernel at hand to try KVM with".to_owned());
    };
    let obstacle = match run(qemu, sample).await {
        Ok(()) => None,
        Err(ProbeFailure::Guest(why)) => Some(why),
        // The failure is not one of KVM, so the result is not stored.
        Err(ProbeFailure::Trial(error)) => return Some(format!("a guest cannot be tried on KVM: {error}")),
    };
    if let Some(memory) = &memory
        && let Err(error) = remember(memory, &key, obstacle.as_ref())
    {
        tracing::debug!(%error, "cannot store whether KVM works");
    }
    obstacle
}

/// Why a guest did not boot on KVM.
enum ProbeFailure {
    /// The guest or QEMU failed.
    Guest(String),
    /// The guest could not be started.
    Trial(io::Error),
}

/// Runs a guest on KVM until its first process starts.
async fn run(qemu: &Qemu, sample: Sample) -> Result<(), ProbeFailure> {
    let failed = ProbeFailure::Trial;
    let (console, console_end) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    let (_monitor, monitor_end) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    console.set_nonblocking(true).map_err(failed)?;
    let console = UnixStream::from_std(console).map_err(failed)?;
    let machine = Machine {
        name: "kvm-probe".to_owned(),
        machine: "pc".to_owned(),
        accel: Accelerator::Kvm,
        memory: 128,
        cpus: 2,
        boot: Boot::Kernel {
            kernel: sample.kernel,
            initramfs: sample.initramfs.map(Initramfs::Path),
            cmdline: "console=ttyS0 earlyprintk=ttyS0 ignore_loglevel panic=-1".to_owned(),
        },
        agent: None,
        nics: Vec::new(),
        extra: Vec::new(),
    };
    let ends = [(CONSOLE, console_end), (MONITOR, monitor_end)];
    let descriptors: BTreeMap<_, _> = ends.into_iter().map(|(name, end)| (name.to_owned(), end.into())).collect();
    let launch = Launch { program: qemu.path.clone(), args: machine.args(), descriptors, place: QemuNetns::Here };
    let mut process = Process::start(launch).map_err(failed)?;
    let stderr = process.stderr();
    let outcome = tokio::select! {
        seen = timeout(SIGN_OF_LIFE, sign_of_life(console)) => match seen {
            Ok(()) => Ok(()),
            Err(_) => {
                Err(ProbeFailure::Guest(format!("a guest on KVM does not boot within {} s", SIGN_OF_LIFE.as_secs())))
            }
        },
        ended = process.wait() => Err(match ended {
            Ok(status) => ProbeFailure::Guest(format!("with KVM, QEMU {}: {}", describe(status), first_line(&stderr.text()))),
            Err(error) => failed(error),
        }),
    };
    process.kill().await;
    outcome
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("no message")
}

/// Completes when the guest has booted. Never completes when the console closes: then the end of QEMU gives a better reason.
async fn sign_of_life(mut console: UnixStream) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = console.read(&mut buffer).await {
        seen.extend_from_slice(&buffer[..count]);
        if seen.windows(SIGN.len()).any(|window| window == SIGN) {
            return;
        }
        // Only the part that may be the begin of the text is kept: a guest may print any amount.
        seen.drain(..seen.len().saturating_sub(SIGN.len()));
    }
    std::future::pending().await
}

/// The stored result, and everything that it depends on.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    key: String,
    obstacle: Option<String>,
}

/// Returns what the result depends on: the host's kernel, its current boot, and QEMU.
fn key(qemu: &Qemu) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{kernel} {} {} {}", read("/proc/sys/kernel/random/boot_id"), qemu.path.display(), qemu.banner)
}

/// Returns the stored result, if there is one: why KVM cannot be used, or `None` if it can.
#[expect(clippy::option_option, reason = "the outer option is whether there is a result, the inner one is the result")]
fn recall(path: &Path, key: &str) -> Option<Option<String>> {
    let file = File::open(path).ok()?;
    let memory: Memory = serde_json::from_reader(io::BufReader::new(file)).ok()?;
    (memory.key == key).then_some(memory.obstacle)
}

fn remember(path: &Path, key: &str, obstacle: Option<&String>) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    PrivateDir::make(dir).map_err(io::Error::other)?;
    let memory = Memory { key: key.to_owned(), obstacle: obstacle.cloned() };
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&serde_json::to_vec(&memory)?)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn memory_path() -> Option<PathBuf> {
    Some(crate::host::folder::cache()?.join("kvm.json"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;
    use tokio::task::LocalSet;

    use super::*;
    use crate::qemu::version::OLDEST;

    /// Tries KVM with a QEMU that runs this script. Returns why KVM cannot be used.
    async fn tried(does: &str) -> Option<String> {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("qemu");
        std::fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        let qemu = Qemu { path, version: OLDEST, banner: String::new() };
        let sample = Sample { kernel: PathBuf::from("/no/kernel"), initramfs: None };
        match LocalSet::new().run_until(run(&qemu, sample)).await {
            Ok(()) => None,
            Err(ProbeFailure::Guest(why)) => Some(why),
            Err(ProbeFailure::Trial(error)) => panic!("{error}"),
        }
    }

    /// The paused clock advances when the test would wait.
    #[tokio::test(start_paused = true)]
    async fn kvm_is_not_used_if_a_guest_hangs_on_it() {
        assert_eq!(tried("exec sleep 1000").await.unwrap(), "a guest on KVM does not boot within 10 s");
    }

    #[tokio::test]
    async fn the_message_of_a_qemu_that_ends_on_kvm_is_shown() {
        let reason = tried("echo 'error: failed to set MSR 0x10a' >&2; kill -ABRT $$").await.unwrap();
        assert_eq!(reason, "with KVM, QEMU was killed by SIGABRT: error: failed to set MSR 0x10a");
    }

    #[tokio::test]
    async fn kvm_works_if_a_guest_starts_its_first_process() {
        // The console is one of the two descriptors that QEMU gets.
        assert_eq!(tried("for fd in 3 4; do echo 'Run /init' >&$fd; done; exec sleep 1000").await, None);
    }

    #[test]
    fn a_stored_result_is_only_used_for_the_same_kernel_and_qemu() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("cache/kvm.json");
        assert_eq!(recall(&path, "this"), None);
        remember(&path, "this", Some(&"it hangs".to_owned())).unwrap();
        assert_eq!(recall(&path, "this"), Some(Some("it hangs".to_owned())));
        assert_eq!(recall(&path, "that"), None);
        remember(&path, "that", None).unwrap();
        assert_eq!((recall(&path, "this"), recall(&path, "that")), (None, Some(None)));
        std::fs::write(&path, "garbage").unwrap();
        assert_eq!(recall(&path, "that"), None);
    }
}
