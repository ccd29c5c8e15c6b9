//! What the kernel of a guest is told on its command line. Which overlay or backend adds more is not known here.

use crate::addr::Ipv6Prefix;
use crate::name::NodeId;

/// Arguments for every guest of ours, each with the reason that it is there.
///
/// They are measured under TCG, where a boot is instructions and nothing else; none hurts where KVM works.
pub const KERNEL_ARGS: &[&str] = &[
    // The console is the serial port, which the owner holds; printing to it is slow, so the kernel says little.
    "console=ttyS0",
    "quiet",
    // A panic ends QEMU (with `-no-reboot`), which the owner sees at once; a hung guest it would have to wait for.
    "panic=-1",
    // Randomising the kernel's address and guarding against speculation protect nothing in a VM that lives for a test.
    "nokaslr",
    "mitigations=off",
    // Whether the timer ticks is tried for some 60 ms, in which a processor that is emulated on a busy host may not run at
    // all; the kernel then panics. Under KVM it knows that it need not try.
    "no_timer_check",
    // The self-tests of every cipher are 0.2 s of a boot of 1.7 s.
    "cryptomgr.notests",
    // Every processor but the first counts how many loops it does in a tick, for 0.15 s. The figure is that of a processor
    // of 2.5 GHz and a tick of 4 ms; no device of a VM depends on it.
    "lpj=10000000",
    // An own disk image with udev must not rename eth0: the number in the name is the position in the node's nets.
    "net.ifnames=0",
];

/// Has the kernel unpack its initramfs into all of the memory, not into half of it.
pub(super) const RAMFS: &str = "rootfstype=ramfs";

/// Gives the node a number although the last byte of eth0's MAC says another.
pub fn id(node: NodeId) -> String {
    format!("xcluster.id={}", node.number())
}

/// Gives the internal net's IPv6 addresses a prefix other than the default.
pub fn prefix(prefix: &Ipv6Prefix) -> String {
    format!("xcluster.prefix={prefix}")
}

/// Keeps telnet and ssh off.
pub const NO_LOGIN: &str = "xcluster.login=off";

/// The line that a guest of ours prints on its console when its init scripts have run.
pub const READY_LINE: &str = "xcluster: ready";
