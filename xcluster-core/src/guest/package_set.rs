//! What a guest is made of: which packages, which of their programs, which kernel modules. Data; how they are had is not
//! said here.

/// The form of what is built from a package set. To be raised when the same package set gives another result.
const FORM: u32 = 3;

/// What is taken out of the distribution's packages.
#[derive(Debug)]
pub(super) struct PackageSet {
    /// Packages that depend on the distribution's newest small kernel; the first that the distribution has is taken.
    pub(super) kernels: &'static [&'static str],
    /// Programs by the package that has them.
    pub(super) programs: &'static [(&'static str, &'static [&'static str])],
    /// Programs that are compressed until somebody runs one, by the package that has them: few tests do, and unpacked
    /// they and their libraries would take 14 of a node's 128 MB.
    pub(super) lazy_programs: &'static [(&'static str, &'static [&'static str])],
    /// Packages of which only files below [`PackageSet::data`] are wanted.
    pub(super) data_packages: &'static [&'static str],
    /// Files, or folders when they end with `/`, that the programs read.
    pub(super) data: &'static [&'static str],
    /// Modules loaded at every boot.
    pub(super) boot_modules: &'static [&'static str],
    /// Modules that are there when somebody asks for them: the paths that begin so.
    pub(super) modules: &'static [&'static str],
}

/// The guest of xcluster.
pub(super) const STANDARD: PackageSet = PackageSet {
    // Debian's kernel for clouds; Ubuntu has none of that name.
    kernels: &["linux-image-cloud-amd64", "linux-image-virtual"],
    programs: &[
        // Static: starting a program of it takes 4 ms under TCG, a dynamic one 20.
        ("busybox-static", &["busybox"]),
        // The shell is not busybox's: that one prefers its own `ip` to the real one, whatever PATH says.
        ("bash-static", &["bash-static"]),
        ("dropbear-bin", &["dropbear", "dropbearkey", "dbclient"]),
        ("iproute2", &["ip", "tc", "bridge"]),
        ("nftables", &["nft"]),
    ],
    lazy_programs: &[("iproute2", &["ss", "nstat", "devlink"]), ("tcpdump", &["tcpdump"]), ("iperf3", &["iperf3"])],
    data_packages: &["ncurses-base", "netbase"],
    data: &[
        // The names that programs take for numbers. Newer versions of `ip` have moved theirs.
        "etc/iproute2/",
        "usr/share/iproute2/",
        "etc/ethertypes",
        "etc/protocols",
        "etc/services",
        // The distributions of delay that netem takes by name.
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
        // What network functions are made of.
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
        // Not the folder with it: its sets (ipset) are a third of it, and nft has sets of its own.
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
        // The ciphers and sums of IPsec, TLS, MACsec and SCTP.
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
        // File systems of what a user attaches.
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
    /// The packages that the package set names, apart from the kernel's.
    pub(super) fn packages(&self) -> impl Iterator<Item = &'static str> {
        let programs = self.programs.iter().chain(self.lazy_programs).map(|(package, _)| *package);
        programs.chain(self.data_packages.iter().copied())
    }

    /// Whether a package, named or depended on, may have something for the guest.
    pub(super) fn is_part(&self, package: &str) -> bool {
        // Debian's policy gives the package of a shared library the library's name; of those we need one is no `lib…`.
        package.starts_with("lib")
            || package == "zlib1g"
            || is_kernel(package)
            || self.packages().any(|name| name == package)
    }

    /// Everything that shapes what is built, as text, so that a changed package set is another one.
    pub(super) fn fingerprint(&self) -> String {
        format!("{FORM} {self:?}")
    }
}

/// Whether a package has a kernel or its modules, and does not only name the newest one.
fn is_kernel(package: &str) -> bool {
    let version = package.strip_prefix("linux-image-").or_else(|| package.strip_prefix("linux-modules-"));
    version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_made_of_programs_libraries_and_a_kernel() {
        for part in ["iproute2", "libc6", "linux-image-6.1.0-56-cloud-amd64", "linux-modules-6.8.0-31-generic"] {
            assert!(STANDARD.is_part(part), "{part}");
        }
        for other in ["linux-image-cloud-amd64", "adduser", "kmod", "linux-base", "initramfs-tools"] {
            assert!(!STANDARD.is_part(other), "{other}");
        }
    }
}
