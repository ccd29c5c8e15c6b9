//! The content of the standard image, as data: which packages, which of their programs, which kernel modules.

/// The version of the build. Increase it when a change of the code makes the same package set give another image.
const FORM: u32 = 3;

/// The files of the distribution's packages that an image contains.
#[derive(Debug)]
pub(super) struct PackageSet {
    /// Packages that depend on the distribution's newest small kernel. The first one that exists is used.
    pub(super) kernels: &'static [&'static str],
    /// Programs, by package.
    pub(super) programs: &'static [(&'static str, &'static [&'static str])],
    /// Programs that stay compressed until one of them is run, by package. Few tests use them, and unpacked they and their
    /// libraries would take 14 of a node's 128 MB.
    pub(super) lazy_programs: &'static [(&'static str, &'static [&'static str])],
    /// Packages of which only the files in [`PackageSet::data`] are used.
    pub(super) data_packages: &'static [&'static str],
    /// Files that the programs read; folders if they end with `/`.
    pub(super) data: &'static [&'static str],
    /// Modules loaded at every boot.
    pub(super) boot_modules: &'static [&'static str],
    /// Modules that can be loaded, as prefixes of their paths.
    pub(super) modules: &'static [&'static str],
}

/// The standard image.
pub(super) const STANDARD: PackageSet = PackageSet {
    // Debian's kernel for clouds, and Ubuntu's for VMs.
    kernels: &["linux-image-cloud-amd64", "linux-image-virtual"],
    programs: &[
        // Static: under TCG a static program starts in 4 ms, a dynamic one in 20 ms.
        ("busybox-static", &["busybox"]),
        // Not busybox's shell, which prefers its own `ip` to the real one, whatever PATH contains.
        ("bash-static", &["bash-static"]),
        ("dropbear-bin", &["dropbear", "dropbearkey", "dbclient"]),
        ("iproute2", &["ip", "tc", "bridge"]),
        ("nftables", &["nft"]),
    ],
    lazy_programs: &[("iproute2", &["ss", "nstat", "devlink"]), ("tcpdump", &["tcpdump"]), ("iperf3", &["iperf3"])],
    data_packages: &["ncurses-base", "netbase"],
    data: &[
        // Names that programs accept in place of numbers. Newer versions of `ip` have their files in another folder.
        "etc/iproute2/",
        "usr/share/iproute2/",
        "etc/ethertypes",
        "etc/protocols",
        "etc/services",
        // The distributions of delay that netem knows by name.
        "usr/lib/x86_64-linux-gnu/tc/normal.dist",
        "usr/lib/x86_64-linux-gnu/tc/pareto.dist",
        "usr/lib/x86_64-linux-gnu/tc/paretonormal.dist",
        "usr/lib/x86_64-linux-gnu/tc/experimental.dist",
        "usr/lib/tc/normal.dist",
        "usr/lib/tc/pareto.dist",
        "usr/lib/tc/paretonormal.dist",
        "usr/lib/tc/experimental.dist",
        // For a shell with line editing on the serial console, by telnet and by ssh.
        "lib/terminfo/l/linux",
        "lib/terminfo/s/screen",
        "lib/terminfo/s/screen-256color",
        "lib/terminfo/t/tmux-256color",
        "lib/terminfo/v/vt100",
        "lib/terminfo/v/vt220",
        "lib/terminfo/x/xterm",
        "lib/terminfo/x/xterm-256color",
        "usr/lib/terminfo/l/linux",
        "usr/lib/terminfo/s/screen",
        "usr/lib/terminfo/s/screen-256color",
        "usr/lib/terminfo/t/tmux-256color",
        "usr/lib/terminfo/v/vt100",
        "usr/lib/terminfo/v/vt220",
        "usr/lib/terminfo/x/xterm",
        "usr/lib/terminfo/x/xterm-256color",
    ],
    boot_modules: &["virtio_pci", "virtio_net", "virtio_console"],
    modules: &[
        "kernel/drivers/virtio/",
        "kernel/drivers/char/virtio_console",
        "kernel/drivers/char/hw_random/virtio-rng",
        "kernel/drivers/block/virtio_blk",
        // Network functions.
        "kernel/drivers/net/amt",
        "kernel/drivers/net/bareudp",
        "kernel/drivers/net/bonding/",
        "kernel/drivers/net/dummy",
        "kernel/drivers/net/geneve",
        "kernel/drivers/net/gtp",
        "kernel/drivers/net/ifb",
        "kernel/drivers/net/ipvlan/",
        "kernel/drivers/net/macsec",
        "kernel/drivers/net/macvlan",
        "kernel/drivers/net/macvtap",
        "kernel/drivers/net/net_failover",
        "kernel/drivers/net/netconsole",
        "kernel/drivers/net/nlmon",
        "kernel/drivers/net/tap",
        "kernel/drivers/net/team/",
        "kernel/drivers/net/tun",
        "kernel/drivers/net/veth",
        "kernel/drivers/net/virtio_net",
        "kernel/drivers/net/vrf",
        "kernel/drivers/net/vxlan",
        "kernel/drivers/net/vxlan/",
        "kernel/drivers/net/wireguard/",
        "kernel/net/802/",
        "kernel/net/8021q/",
        "kernel/net/bridge/",
        "kernel/net/core/",
        "kernel/net/ife/",
        "kernel/net/ipv4/",
        "kernel/net/ipv6/",
        "kernel/net/key/",
        "kernel/net/l2tp/",
        "kernel/net/llc/",
        "kernel/net/mpls/",
        "kernel/net/mptcp/",
        // Not the whole folder: a third of it is ipset, and nft has its own sets.
        "kernel/net/netfilter/ipvs/",
        "kernel/net/netfilter/nf_",
        "kernel/net/netfilter/nfnetlink",
        "kernel/net/netfilter/nft_",
        "kernel/net/netfilter/xt_",
        "kernel/net/netlink/",
        "kernel/net/nsh/",
        "kernel/net/openvswitch/",
        "kernel/net/packet/",
        "kernel/net/psample/",
        "kernel/net/sched/",
        "kernel/net/sctp/",
        "kernel/net/tls/",
        "kernel/net/unix/",
        "kernel/net/xfrm/",
        // The ciphers and checksums of IPsec, TLS, MACsec and SCTP.
        "kernel/crypto/algif_",
        "kernel/crypto/authenc",
        "kernel/crypto/ccm",
        "kernel/crypto/chacha20poly1305",
        "kernel/crypto/chacha_generic",
        "kernel/crypto/cmac",
        "kernel/crypto/crc32c_generic",
        "kernel/crypto/cryptd",
        "kernel/crypto/ctr",
        "kernel/crypto/des_generic",
        "kernel/crypto/echainiv",
        "kernel/crypto/gcm",
        "kernel/crypto/ghash-generic",
        "kernel/crypto/md5",
        "kernel/crypto/poly1305_generic",
        "kernel/crypto/rmd160",
        "kernel/crypto/seqiv",
        "kernel/crypto/sha512_generic",
        "kernel/crypto/xcbc",
        // File systems of disks that a user attaches.
        "kernel/fs/ext4/",
        "kernel/fs/fat/",
        "kernel/fs/isofs/",
        "kernel/fs/overlayfs/",
        "kernel/fs/squashfs/",
        "kernel/fs/nls/nls_ascii",
        "kernel/fs/nls/nls_cp437",
        "kernel/fs/nls/nls_iso8859-1",
        "kernel/fs/nls/nls_utf8",
        "kernel/drivers/block/loop",
    ],
};

impl PackageSet {
    /// Returns the packages that the package set names, except for the kernel's.
    pub(super) fn packages(&self) -> impl Iterator<Item = &'static str> {
        let programs = self.programs.iter().chain(self.lazy_programs).map(|(package, _)| *package);
        programs.chain(self.data_packages.iter().copied())
    }

    /// Whether a package, named or depended on, may contain a file of the image.
    pub(super) fn is_part(&self, package: &str) -> bool {
        // Debian's policy names the package of a shared library after the library. Only zlib1g does not begin with `lib`.
        package.starts_with("lib")
            || package == "zlib1g"
            || is_kernel(package)
            || self.packages().any(|name| name == package)
    }

    /// Returns everything that the image depends on as text: a changed package set has another fingerprint.
    pub(super) fn fingerprint(&self) -> String {
        format!("{FORM} {self:?}")
    }
}

/// Whether a package contains a kernel or its modules. A package that only depends on the newest kernel does not.
fn is_kernel(package: &str) -> bool {
    let version = package.strip_prefix("linux-image-").or_else(|| package.strip_prefix("linux-modules-"));
    version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_consists_of_programs_libraries_and_a_kernel() {
        for part in ["iproute2", "libc6", "linux-image-6.1.0-56-cloud-amd64", "linux-modules-6.8.0-31-generic"] {
            assert!(STANDARD.is_part(part), "{part}");
        }
        for other in ["linux-image-cloud-amd64", "adduser", "kmod", "linux-base", "initramfs-tools"] {
            assert!(!STANDARD.is_part(other), "{other}");
        }
    }
}
