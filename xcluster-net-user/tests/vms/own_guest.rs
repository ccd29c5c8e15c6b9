//! Guests of the user's own: a kernel and an initramfs, and a disk image with a boot loader.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tokio::task::spawn_blocking;
use xcluster_core::Cluster;
use xcluster_core::image::kernel_args::READY_LINE;
use xcluster_core::image::{Image, standard_image};
use xcluster_core::plan::{GuestSource, Readiness};

use crate::harness::{builder, expectations, need, scenario};
use crate::internal_net::by_telnet;

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_and_an_initramfs_of_ones_own_are_booted() {
    let image = image().await;
    let guest = GuestSource::Kernel { kernel: Some(image.kernel), initramfs: image.initramfs };
    let builder = builder().nodes(1).guest(guest).ready_when(Readiness::Console(READY_LINE.to_owned()));
    scenario(builder, async |cluster| {
        expectations!(cluster; a_node_without_our_agent_says_so, its_nets_are_its_own_affair);
    })
    .await;
}

async fn image() -> Image {
    spawn_blocking(|| standard_image(&|_| {})).await.unwrap().unwrap()
}

async fn a_node_without_our_agent_says_so(cluster: &Cluster) {
    let error = cluster.node(1).unwrap().exec("true").await.unwrap_err();
    assert_eq!(error.to_string(), "vm-001 has no agent: it was started with another sign of readiness");
}

async fn its_nets_are_its_own_affair(cluster: &Cluster) {
    by_telnet(cluster, 1, "ip -o link show eth1 | grep -c 'state DOWN'", "\n1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_image_is_booted_by_its_own_boot_loader() {
    let dir = TempDir::new().unwrap();
    let (image, folder) = (image().await, dir.path().to_owned());
    let disk = spawn_blocking(move || bootable(&image, &folder)).await.unwrap();
    let content = std::fs::read(&disk).unwrap();
    let builder = builder().nodes(2).guest(GuestSource::Disk { image: disk.clone() });
    scenario(builder, async |cluster| {
        // Both have the image, and neither notices the other.
        for (node, own) in [(1, "one"), (2, "two")] {
            let write = "modprobe virtio_blk; dd of=/dev/vda bs=512 count=1 conv=fsync";
            let line =
                format!("(echo {own}; yes) | head -c512 | ({write}); head -c3 /dev/vda; echo; cat /proc/cmdline");
            by_telnet(cluster, node, &line, &format!("\n{own}")).await;
        }
    })
    .await;
    assert!(std::fs::read(disk).unwrap() == content, "the nodes have written to the image");
}

/// A FAT file system with a boot loader that starts the standard guest.
fn bootable(image: &Image, dir: &Path) -> PathBuf {
    let disk = dir.join("disk.img");
    let kernel = kernel(image, dir);
    let initramfs = image.initramfs.as_ref().unwrap();
    std::fs::File::create(&disk).unwrap().set_len(128 << 20).unwrap();
    std::fs::write(dir.join("syslinux.cfg"), SYSLINUX).unwrap();
    let tool = |program: &str| {
        need(program);
        let mut command = Command::new(program);
        // A user's own settings of mtools are not to be seen.
        command.env("MTOOLSRC", "/dev/null").env("MTOOLS_SKIP_CHECK", "1").current_dir(dir);
        command
    };
    done(tool("mformat").args(["-i", "disk.img", "-h", "16", "-s", "63", "-t", "260", "::"]));
    done(tool("mcopy").args(["-i", "disk.img"]).arg(kernel).arg("::kernel"));
    done(tool("mcopy").args(["-i", "disk.img"]).arg(initramfs).arg("::initrd"));
    done(tool("mcopy").args(["-i", "disk.img", "syslinux.cfg", "::"]));
    done(tool("syslinux").args(["--install", "disk.img"]));
    disk
}

const SYSLINUX: &str = "\
    DEFAULT guest\n\
    LABEL guest\n\
    LINUX /kernel\n\
    INITRD /initrd\n\
    APPEND console=ttyS0 quiet\n";

/// The kernel's package has it in the form that boot loaders take; the standard guest's is unpacked for QEMU.
fn kernel(image: &Image, dir: &Path) -> PathBuf {
    let manifest = image.manifest.as_ref().unwrap();
    let package = manifest.packages.iter().find(|package| package.name.starts_with("linux-image-")).unwrap();
    let root = dir.join("kernel");
    std::fs::create_dir(&root).unwrap();
    let deb = package_file(&package.name);
    done(Command::new("dpkg-deb").arg("--extract").arg(deb).arg(&root));
    root.join("boot").join(format!("vmlinuz-{}", manifest.release))
}

/// A package that `scripts/fetch-test-guest` has downloaded.
fn package_file(name: &str) -> PathBuf {
    let folder = xcluster_core::host::folder::cache().unwrap().with_file_name("xcluster-tests");
    let files = std::fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let prefix = format!("{name}_");
    let found = files.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with(&prefix));
    let get = || format!("`mkdir -p {0}; cd {0} && apt-get download {name}`, as `make test` does", folder.display());
    found.unwrap_or_else(|| panic!("the kernel's package is not there: {}", get()))
}

fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
