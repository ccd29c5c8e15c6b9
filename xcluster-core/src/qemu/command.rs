//! QEMU's command line for one node. Pure. Only this file has QEMU's options, except for the network args of the backends.

use std::path::PathBuf;

use crate::net::KvmArgs;

/// The name of the descriptor for QEMU's monitor (QMP).
pub const MONITOR: &str = "monitor";
/// The name of the descriptor for the node's serial console.
pub const CONSOLE: &str = "console";
/// The name of the descriptor for the guest's agent.
pub const AGENT: &str = "agent";
/// The name of the descriptor for an initramfs without a path.
pub const INITRAMFS: &str = "initramfs";

/// The reserved names of descriptors: backends cannot use them.
pub const OURS: [&str; 4] = [MONITOR, CONSOLE, AGENT, INITRAMFS];

/// The configuration of one QEMU.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The node's host name, which the list of processes shows.
    pub name: String,
    /// QEMU's machine type, optionally with properties.
    pub machine: String,
    /// The accelerator.
    pub accel: Accelerator,
    /// Memory in MiB.
    pub memory: u32,
    /// Virtual processors.
    pub cpus: u8,
    /// The guest that it boots.
    pub boot: Boot,
    /// The name of the virtio port of the guest's agent, if it has one.
    pub agent: Option<&'static str>,
    /// The args of its NICs, in order: eth0 first.
    pub nics: Vec<KvmArgs>,
    /// Further args. They are at the end, where they override the others.
    pub extra: Vec<String>,
}

/// How QEMU runs the guest's processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Accelerator {
    /// Hardware virtualisation by the host's kernel.
    Kvm,
    /// Emulation by QEMU.
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

/// The guest that a QEMU boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// A kernel and an initramfs.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// The initramfs.
        initramfs: Option<Initramfs>,
        /// The kernel's command line.
        cmdline: String,
    },
    /// A disk image with its own boot loader. Changes of the node are lost when it ends.
    Disk {
        /// The image.
        image: PathBuf,
    },
}

/// Where an initramfs is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Initramfs {
    /// A file.
    Path(PathBuf),
    /// The descriptor with the name [`INITRAMFS`].
    Descriptor,
}

impl Machine {
    /// Returns QEMU's args. They contain descriptors as `@name@`.
    pub fn args(&self) -> Vec<String> {
        let mut args = Args::default();
        args.option("-name", format!("{},debug-threads=on", self.name));
        args.option("-machine", &self.machine);
        match self.accel {
            Accelerator::Kvm => args.option("-accel", "kvm").option("-cpu", "host"),
            // One thread for all processors. With one thread each, a processor that changes the memory map (as every boot does
            // for PCI devices) can make another one read from the wrong device, or make QEMU crash (seen with 7.2).
            Accelerator::Tcg => args.option("-accel", "tcg,thread=single").option("-cpu", "max"),
        };
        args.option("-m", self.memory.to_string());
        args.option("-smp", self.cpus.to_string());
        // No default devices (VGA, floppy, NIC), and no configuration files of the host.
        args.flag("-nodefaults").flag("-no-user-config").option("-display", "none");
        // A guest that reboots ends QEMU, so that a test notices it.
        args.flag("-no-reboot");
        self.boot(&mut args);
        channel(&mut args, MONITOR).option("-mon", format!("chardev={MONITOR},mode=control"));
        channel(&mut args, CONSOLE).option("-serial", format!("chardev:{CONSOLE}"));
        // Entropy at boot: an ssh server waits for it.
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
                // With `snapshot=on` QEMU writes to a temporary file, which it unlinks as soon as it is open.
                let file = image.display().to_string().replace(',', ",,");
                args.option("-drive", format!("file={file},if=virtio,snapshot=on,cache=unsafe"));
            }
        }
    }
}

/// Adds a character device on a descriptor. Only the owner has the other end, and no path can be attacked or left behind.
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

/// Replaces `@name@` by the number of the descriptor with that name. Other text between `@` signs is unchanged.
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
    fn the_args_that_boot_a_kernel() {
        let boot = Boot::Kernel {
            kernel: "/k/vmlinuz".into(),
            initramfs: Some(Initramfs::Descriptor),
            cmdline: "console=ttyS0".to_owned(),
        };
        insta::assert_snapshot!(machine(boot).args().join("\n"));
    }

    #[test]
    fn the_args_that_boot_a_disk() {
        let args =
            Machine { accel: Accelerator::Kvm, agent: None, ..machine(Boot::Disk { image: "/i,1.qcow2".into() }) };
        insta::assert_snapshot!(args.args().join("\n"));
    }

    #[test]
    fn only_names_of_descriptors_are_replaced() {
        assert_eq!(number_descriptors("fd=@tap1@,x=@b@", [("tap1", 7)]), "fd=7,x=@b@");
    }
}
