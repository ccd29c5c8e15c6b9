//! How QEMU uses a port: args of its command line, and the descriptors that they name. Knows the syntax of the network
//! options only.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::Port;
use crate::host::namespace::NamespaceEntry;

/// Args for QEMU's command line, exactly as it takes them, and the descriptors that they name.
///
/// An arg names a descriptor as `@name@` (`fd=@tap1@`), because its number is only known when QEMU is started. The same name
/// serves when a descriptor is sent to a running QEMU. All NICs of a node share one QEMU, so derive names from the port, as
/// [`Port::netdev`] does. The names `monitor`, `console`, `agent` and `initramfs` are taken.
///
/// Nothing is stored twice: netdevs and devices are parsed from the args.
#[derive(Debug, Clone, Default)]
pub struct KvmArgs {
    args: Vec<String>,
    descriptors: BTreeMap<String, Arc<OwnedFd>>,
    place: QemuNetns,
}

/// The network namespace that QEMU runs in. It matters where QEMU itself opens a tap by name or a socket. A descriptor works
/// from any namespace.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub enum QemuNetns {
    /// That of the owner.
    #[default]
    Here,
    /// That of this file.
    File(PathBuf),
    /// That of this entry, with every privilege there: the cluster's.
    Inside(Arc<NamespaceEntry>),
}

impl KvmArgs {
    /// No args.
    pub fn new() -> Self {
        Self::default()
    }

    /// A netdev and the NIC that uses it.
    pub fn nic(netdev: &Netdev, nic: &Nic) -> Self {
        Self::from_args(["-netdev".to_owned(), netdev.to_string(), "-device".to_owned(), nic.to_string()])
    }

    /// These args, for example as a script printed them.
    pub fn from_args(args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { args: args.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Adds a descriptor that an arg names as `@name@`. QEMU gets duplicates of it; this one stays open as long as the value
    /// lives.
    #[must_use]
    pub fn with_descriptor(mut self, name: impl Into<String>, descriptor: impl Into<Arc<OwnedFd>>) -> Self {
        self.descriptors.insert(name.into(), descriptor.into());
        self
    }

    /// Requires that QEMU runs in the network namespace of this file.
    #[must_use]
    pub fn in_netns(mut self, netns: impl Into<PathBuf>) -> Self {
        self.place = QemuNetns::File(netns.into());
        self
    }

    /// Requires that QEMU runs there.
    #[must_use]
    pub fn at(mut self, place: QemuNetns) -> Self {
        self.place = place;
        self
    }

    /// All args, in order.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The descriptors by name.
    pub const fn descriptors(&self) -> &BTreeMap<String, Arc<OwnedFd>> {
        &self.descriptors
    }

    /// The network namespace that QEMU must run in.
    pub const fn qemu_netns(&self) -> &QemuNetns {
        &self.place
    }

    /// Whether QEMU's namespace matters: another one was required, or QEMU itself opens a tap or a socket.
    pub fn is_bound(&self) -> bool {
        let by_descriptor = |netdev: &str| netdev.split(',').any(|p| p.starts_with("fd=") || p.starts_with("fds="));
        self.place != QemuNetns::Here || !self.netdevs().all(by_descriptor)
    }

    /// The values of `-netdev`: objects that exist before a NIC is plugged.
    pub fn netdevs(&self) -> impl Iterator<Item = &str> {
        self.values("-netdev")
    }

    /// The names of the netdevs of QEMU's own TCP/IP. They take further forwards while QEMU runs.
    pub fn user_netdevs(&self) -> impl Iterator<Item = &str> {
        let users = self.netdevs().filter_map(|value| value.strip_prefix("user,"));
        users.filter_map(|properties| properties.split(',').find_map(|property| property.strip_prefix("id=")))
    }

    /// The values of `-device`: what a running VM can be given.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.values("-device")
    }

    /// The args that are neither netdev nor device, such as a machine type from a script.
    pub fn rest(&self) -> impl Iterator<Item = &str> {
        let paired = |index: usize| matches!(self.args[index].as_str(), "-netdev" | "-device");
        let is_part_of_pair = move |index: usize| paired(index) || (index > 0 && paired(index - 1));
        (0..self.args.len()).filter(move |index| !is_part_of_pair(*index)).map(|index| self.args[index].as_str())
    }

    /// The names that an arg uses as `@name@` and that have no descriptor.
    pub fn missing_descriptors(&self) -> Vec<String> {
        let names = self.args.iter().flat_map(|arg| references(arg));
        names.filter(|name| !self.descriptors.contains_key(*name)).map(str::to_owned).collect()
    }

    fn values(&self, option: &'static str) -> impl Iterator<Item = &str> {
        let pairs = self.args.iter().zip(self.args.iter().skip(1));
        pairs.filter(move |(arg, _)| *arg == option).map(|(_, value)| value.as_str())
    }
}

/// Compares args, descriptor names and namespace. Two descriptors of one name count as equal.
impl PartialEq for KvmArgs {
    fn eq(&self, other: &Self) -> bool {
        self.args == other.args && self.place == other.place && self.descriptors.keys().eq(other.descriptors.keys())
    }
}

/// The args as a shell takes them, for people.
impl fmt::Display for KvmArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.args.join(" "))
    }
}

/// The names between `@` signs after `fd=`, `fds=` and `vhostfd=`. QEMU separates several by colons.
fn references(arg: &str) -> impl Iterator<Item = &str> {
    let values = arg
        .split(',')
        .filter_map(|property| property.split_once('='))
        .filter(|(key, _)| key.ends_with("fd") || key.ends_with("fds"));
    let names = values.flat_map(|(_, value)| value.split(':'));
    names.filter_map(|name| name.strip_prefix('@')?.strip_suffix('@'))
}

/// The value of a `-netdev` option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netdev(String);

impl Netdev {
    /// A netdev of QEMU's type `kind`, with the ID that the port's NIC refers to.
    pub fn new(kind: &str, port: &Port) -> Self {
        Self(format!("{kind},id={}", port.netdev()))
    }

    /// Adds a property. Commas in the value are doubled, as QEMU requires.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        append(&mut self.0, key, &value.to_string());
        self
    }
}

impl fmt::Display for Netdev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of a NIC's `-device` option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic(String);

impl Nic {
    /// A virtio NIC with the port's hardware address and MTU.
    ///
    /// It has no option ROM, since nodes do not boot from the network and the ROM costs time at each boot. The guest takes
    /// the MTU from the device before anything configures the NIC.
    pub fn virtio(port: &Port) -> Self {
        let nic = Self(format!("virtio-net-pci,netdev={},mac={}", port.netdev(), port.mac)).with("romfile", "");
        // QEMU's default is left out, so that the usual command line stays short.
        if port.net.mtu == crate::topology::Topology::MTU { nic } else { nic.with("host_mtu", port.net.mtu) }
    }

    /// Adds a property.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        append(&mut self.0, key, &value.to_string());
        self
    }
}

impl fmt::Display for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn append(arg: &mut String, key: &str, value: &str) {
    arg.push_str(&format!(",{key}={}", value.replace(',', ",,")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{NetId, NodeId};
    use crate::net::Net;

    #[test]
    fn netdev_device_and_rest_are_found_in_the_args() {
        let args = KvmArgs::from_args(["-M", "q35", "-netdev", "tap,id=net1", "-device", "e1000,netdev=net1", "-s"]);
        assert_eq!(args.netdevs().collect::<Vec<_>>(), ["tap,id=net1"]);
        assert_eq!(args.devices().collect::<Vec<_>>(), ["e1000,netdev=net1"]);
        assert_eq!(args.rest().collect::<Vec<_>>(), ["-M", "q35", "-s"]);
    }

    #[test]
    fn a_netdev_that_takes_forwards_is_known_by_its_kind() {
        let args = KvmArgs::from_args(["-netdev", "user,id=net0,net=10.0.0.0/8", "-netdev", "tap,id=net1,fd=3"]);
        assert_eq!(args.user_netdevs().collect::<Vec<_>>(), ["net0"]);
    }

    #[test]
    fn a_name_without_a_descriptor_is_noticed() {
        let args = KvmArgs::from_args(["-netdev", "tap,id=net1,fds=@a@:@b@,vhostfd=@c@,script=x@y@z"]);
        assert_eq!(args.missing_descriptors(), ["a", "b", "c"]);
    }

    #[test]
    fn commas_in_values_are_doubled() {
        let port = Port::new(NodeId::new(3).unwrap(), Net::new(NetId::new(1)), 1);
        assert_eq!(Netdev::new("user", &port).with("bootfile", "a,b").to_string(), "user,id=net1,bootfile=a,,b");
        assert_eq!(Nic::virtio(&port).to_string(), "virtio-net-pci,netdev=net1,mac=00:00:00:01:01:03,romfile=");
    }
}
