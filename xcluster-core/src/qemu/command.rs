//! QEMU's command line for one node. Pure, and the only place that spells QEMU's options, but for the network args that
//! backends answer with.

use std::path::PathBuf;

use crate::net::KvmArgs;

/// The descriptor that QEMU's monitor (QMP) listens on, by name.
pub const MONITOR: &str = "monitor";
/// The descriptor of the node's serial console, by name.
pub const CONSOLE: &str = "console";
/// The descriptor of the guest's agent, by name.
pub const AGENT: &str = "agent";
/// The descriptor of an initramfs that has no path, by name.
pub const INITRAMFS: &str = "initramfs";

/// The names of descriptors that no backend can use.
pub const OURS: [&str; 4] = [MONITOR, CONSOLE, AGENT, INITRAMFS];

/// One QEMU, as data.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The node's host name; it shows in the list of processes.
    pub name: String,
    /// QEMU's machine type, with properties if need be.
    pub machine: String,
    /// How processors are virtualised.
    pub accel: Accelerator,
    /// Memory in MiB.
    pub memory: u32,
    /// Virtual processors.
    pub cpus: u8,
    /// What it boots.
    pub boot: Boot,
    /// The name of the virtio port of the guest's agent, if it has one.
    pub agent: Option<&'static str>,
    /// The args of its NICs, in order: eth0 first.
    pub nics: Vec<KvmArgs>,
    /// Further args, at the end, where they win over ours.
    pub extra: Vec<String>,
}

/// How processors are virtualised, once that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// By the kernel of the host.
    Kvm,
    /// In software.
    Tcg,
}

impl std::fmt::Display for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// What a QEMU boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// A kernel and an initramfs.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// The initramfs, a path or a descriptor's `/dev/fd` name.
        initramfs: Option<Initramfs>,
        /// The kernel's command line.
        cmdline: String,
    },
    /// A disk image, by its own boot loader. What the node writes is gone with it.
    Disk {
        /// The image.
        image: PathBuf,
    },
}

/// Where an initramfs is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Initramfs {
    /// In a file.
    Path(PathBuf),
    /// Behind the descriptor named [`INITRAMFS`].
    Descriptor,
}

impl Machine {
    /// The args after QEMU's name. Descriptors stand in them as `@name@`.
    pub fn args(&self) -> Vec<String> {
        let mut args = Args::default();
        args.option("-name", format!("{},debug-threads=on", self.name));
        args.option("-machine", &self.machine);
        match self.accel {
            Accelerator::Kvm => args.option("-accel", "kvm").option("-cpu", "host"),
            // One thread for all processors: with one each, a processor that changes the map of memory (a PCI device's
            // registers, as at every boot) makes another one read from the wrong device, or QEMU crash (seen with 7.2).
            Accelerator::Tcg => args.option("-accel", "tcg,thread=single").option("-cpu", "max"),
        };
        args.option("-m", self.memory.to_string());
        args.option("-smp", self.cpus.to_string());
        // Nothing that was not asked for: no VGA, no floppy, no NIC of QEMU's own choice, no configuration of the host.
        args.flag("-nodefaults").flag("-no-user-config").option("-display", "none");
        // A guest that reboots has ended: tests want to see that, not a fresh start.
        args.flag("-no-reboot");
        self.boot(&mut args);
        channel(&mut args, MONITOR).option("-mon", format!("chardev={MONITOR},mode=control"));
        channel(&mut args, CONSOLE).option("-serial", format!("chardev:{CONSOLE}"));
        // Entropy at once: an ssh server waits for it.
        args.option("-device", "virtio-rng-pci");
        if let Some(port) = self.agent {
            args.option("-device", "virtio-serial-pci,max_ports=2");
            channel(&mut args, AGENT).option("-device", format!("virtserialport,chardev={AGENT},name={port}"));
        }
        for nic in &self.nics {
            args.0.extend(nic.args().iter().cloned());
        }
        args.0.extend(self.extra.iter().cloned());
        args.0
    }

    fn boot(&self, args: &mut Args) {
        match &self.boot {
            Boot::Kernel { kernel, initramfs, cmdline } => {
                args.option("-kernel", kernel.display().to_string());
                match initramfs {
                    Some(Initramfs::Path(path)) => args.option("-initrd", path.display().to_string()),
                    Some(Initramfs::Descriptor) => args.option("-initrd", format!("/proc/self/fd/@{INITRAMFS}@")),
                    None => args,
                }
                .option("-append", cmdline);
            }
            Boot::Disk { image } => {
                // QEMU writes to an overlay of its own that it unlinks as soon as it is open.
                let file = image.display().to_string().replace(',', ",,");
                args.option("-drive", format!("file={file},if=virtio,snapshot=on,cache=unsafe"));
            }
        }
    }
}

/// A character device on a descriptor that only the owner has the other end of: there is no path to attack or to leak.
fn channel<'a>(args: &'a mut Args, name: &str) -> &'a mut Args {
    args.option("-chardev", format!("socket,id={name},fd=@{name}@"))
}

#[derive(Debug, Default)]
struct Args(Vec<String>);

impl Args {
    fn flag(&mut self, arg: &str) -> &mut Self {
        self.0.push(arg.to_owned());
        self
    }

    fn option(&mut self, option: &str, value: impl Into<String>) -> &mut Self {
        self.0.push(option.to_owned());
        self.0.push(value.into());
        self
    }
}

/// Replaces `@name@` by what the descriptor of that name is numbered. Other text between `@` signs is left alone.
pub fn number_descriptors<'a>(arg: &str, numbers: impl IntoIterator<Item = (&'a str, i32)>) -> String {
    let named = |arg: String, (name, number): (&str, i32)| arg.replace(&format!("@{name}@"), &number.to_string());
    numbers.into_iter().fold(arg.to_owned(), named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{NetId, NodeId};
    use crate::net::{Net, Netdev, Nic, Port};

    fn machine(boot: Boot) -> Machine {
        let port = Port::new(NodeId::new(7).unwrap(), Net::new(NetId::INTERNAL), 0);
        Machine {
            name: "vm-007".to_owned(),
            machine: "pc".to_owned(),
            accel: Accelerator::Tcg,
            memory: 128,
            cpus: 2,
            boot,
            agent: Some("xcluster.agent"),
            nics: vec![KvmArgs::nic(&Netdev::new("user", &port), &Nic::virtio(&port))],
            extra: vec!["-s".to_owned()],
        }
    }

    #[test]
    fn a_kernel_is_booted_with_these_args() {
        let boot = Boot::Kernel {
            kernel: "/k/vmlinuz".into(),
            initramfs: Some(Initramfs::Descriptor),
            cmdline: "console=ttyS0".to_owned(),
        };
        insta::assert_snapshot!(machine(boot).args().join("\n"));
    }

    #[test]
    fn a_disk_is_booted_with_these_args() {
        let args =
            Machine { accel: Accelerator::Kvm, agent: None, ..machine(Boot::Disk { image: "/i,1.qcow2".into() }) };
        insta::assert_snapshot!(args.args().join("\n"));
    }

    #[test]
    fn only_names_that_exist_are_numbered() {
        assert_eq!(number_descriptors("fd=@tap1@,x=@b@", [("tap1", 7)]), "fd=7,x=@b@");
    }
}
