//! The kernel's command line: arguments for every guest, and those that depend on the node.

use crate::addr::Ipv6Prefix;
use crate::name::NodeId;

/// The arguments for every guest, each with its reason in the source.
///
/// Their effect was measured under TCG, where the boot time depends only on the number of instructions. None is harmful under
/// KVM.
pub const KERNEL_ARGS: &[&str] = &[
    // The console is the serial port. Printing to it is slow, so the kernel prints little.
    "console=ttyS0",
    "quiet",
    // A panic reboots at once, which ends QEMU (`-no-reboot`). Otherwise the guest would hang until its deadline.
    "panic=-1",
    // Address randomisation and the mitigations of CPU bugs protect nothing in a VM that exists for one test.
    "nokaslr",
    "mitigations=off",
    // The kernel checks for 60 ms whether the timer ticks, and panics if it does not. On a busy host an emulated processor may
    // not run at all in that time. Under KVM the kernel skips this check by itself.
    "no_timer_check",
    // The self-tests of the ciphers take 0.2 s of a boot of 1.7 s.
    "cryptomgr.notests",
    // Each further processor would measure its loops per tick for 0.15 s. This value belongs to 2.5 GHz and a tick of 4 ms; no
    // device of a VM depends on it.
    "lpj=10000000",
    // A user's guest with udev must not rename eth0: the number in the name is the position in the node's list of nets.
    "net.ifnames=0",
];

/// Makes the root file system a ramfs, which may use all of the memory.
pub(super) const RAMFS: &str = "rootfstype=ramfs";

/// Returns the argument that sets the node's number. Without it the guest takes the last byte of the MAC address of eth0.
pub fn id(node: NodeId) -> String {
    format!("xcluster.id={}", node.number())
}

/// Returns the argument that sets the IPv6 prefix of the internal net.
pub fn prefix(prefix: &Ipv6Prefix) -> String {
    format!("xcluster.prefix={prefix}")
}

/// Turns off telnet and ssh.
pub const NO_LOGIN: &str = "xcluster.login=off";

/// The line that our guest prints on its console when its init scripts have run.
pub const READY_LINE: &str = "xcluster: ready";
