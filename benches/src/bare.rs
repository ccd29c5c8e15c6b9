//! The same guest in a QEMU that is started by hand: with the args of the library, but without monitor and agent, with the
//! console on standard output, and with QEMU's default threads. It is ready when its console says so.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempPath;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use xcluster_core::image::kernel_args::READY_LINE;

/// How long a guest may take: as long as the library gives an emulated one.
const DEADLINE: Duration = Duration::from_secs(120);

/// A QEMU to be started by hand.
#[derive(Debug, Clone)]
pub struct Bare {
    program: PathBuf,
    args: Vec<String>,
    /// A copy of the file that the library passes as a descriptor.
    _initramfs: Arc<TempPath>,
}

/// A running guest. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Kept open: a guest that prints into a closed pipe ends its QEMU.
    _console: Lines<BufReader<ChildStdout>>,
}

impl Bare {
    /// The same as a QEMU that the library runs.
    ///
    /// # Errors
    /// That QEMU has ended, or its args are not as the library writes them.
    pub fn like(pid: u32) -> Result<Self> {
        let program = std::fs::read_link(format!("/proc/{pid}/exe"))?;
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
        let mut args: Vec<String> = line.trim_end_matches('\0').split('\0').skip(1).map(str::to_owned).collect();
        let initrd = args.iter().position(|arg| arg == "-initrd").context("this QEMU has no initramfs")? + 1;
        let number =
            args[initrd].strip_prefix("/proc/self/fd/").context("the initramfs is not passed as a descriptor")?;
        let copy = tempfile::NamedTempFile::new()?.into_temp_path();
        std::fs::copy(format!("/proc/{pid}/fd/{number}"), &copy)?;
        args[initrd] = copy.display().to_string();
        Ok(Self { program, args: by_hand(args), _initramfs: Arc::new(copy) })
    }

    /// Starts it and waits until its console says that it is ready.
    ///
    /// # Errors
    /// QEMU cannot be started, or the guest is not ready in time.
    pub async fn boot(&self) -> Result<Running> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let console = child.stdout.take().context("the console is not a pipe")?;
        let mut lines = BufReader::new(console).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains(READY_LINE) {
                    return Ok(());
                }
            }
            bail!("QEMU has ended")
        };
        timeout(DEADLINE, ready).await.context("timed out waiting for the guest")??;
        Ok(Running { child, _console: lines })
    }
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Starts all guests, at most `at_once` at the same time, and waits until all are ready.
///
/// # Errors
/// A guest cannot be started, or is not ready in time.
pub async fn boot_all(guests: &[Bare], at_once: usize) -> Result<(Vec<Running>, Vec<u32>)> {
    let slots = Arc::new(Semaphore::new(at_once));
    let mut boots = JoinSet::new();
    for guest in guests {
        let (guest, slots) = (guest.clone(), slots.clone());
        boots.spawn(async move {
            let _slot = slots.acquire_owned().await?;
            guest.boot().await
        });
    }
    let mut running = Vec::new();
    while let Some(guest) = boots.join_next().await {
        running.push(guest??);
    }
    let pids = running.iter().filter_map(Running::pid).collect();
    Ok((running, pids))
}

/// The args without the library's channels, without its settings for old QEMUs, and without forwards: their ports may be in use by
/// now.
fn by_hand(args: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut args = args.into_iter().peekable();
    while let Some(option) = args.next() {
        let value = args.next_if(|arg| !arg.starts_with('-'));
        match (option.as_str(), value) {
            ("-chardev" | "-mon", _) => {}
            ("-device", Some(device)) if device.starts_with("virtio-serial") || device.starts_with("virtserial") => {}
            // The default for emulated processors: a thread for each.
            ("-accel", Some(accel)) if accel.starts_with("tcg") => kept.extend([option, "tcg".to_owned()]),
            ("-serial", _) => kept.extend([option, "stdio".to_owned()]),
            ("-netdev", Some(netdev)) => {
                let parts: Vec<&str> = netdev.split(',').filter(|part| !part.starts_with("hostfwd=")).collect();
                kept.extend([option, parts.join(",")]);
            }
            (_, value) => kept.extend([option].into_iter().chain(value)),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::by_hand;

    #[test]
    fn only_what_the_library_needs_for_itself_is_left_out() {
        let args = "-smp 2 -accel tcg,thread=single -nodefaults -chardev socket,id=monitor,fd=5 \
                     -mon chardev=monitor,mode=control -serial chardev:console -device virtio-rng-pci -device virtio-serial-pci,max_ports=2 \
                     -device virtserialport,chardev=agent,name=a -netdev user,id=net0,hostfwd=tcp:127.0.0.1:1-:23,dns=x \
                     -device virtio-net-pci,netdev=net0";
        let kept = by_hand(args.split_whitespace().map(str::to_owned).collect()).join(" ");
        let expected = "-smp 2 -accel tcg -nodefaults -serial stdio -device virtio-rng-pci -netdev user,id=net0,dns=x \
                        -device virtio-net-pci,netdev=net0";
        assert_eq!(kept, expected);
    }
}
