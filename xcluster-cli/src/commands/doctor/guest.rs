//! Checks of QEMU, KVM and the guest. Builds nothing: KVM is tried with a guest that was built before.

use std::path::Path;

use tokio::task::LocalSet;
use xcluster_core::image::{self, Image};
use xcluster_core::plan::Accel;
use xcluster_core::qemu::accel::{self, Sample};
use xcluster_core::qemu::command::Accelerator;
use xcluster_core::qemu::process::find_program;
use xcluster_core::qemu::version::{self, Qemu};

use super::check::Check;
use crate::report::one_line;

const INSTALL_QEMU: &str = "sudo apt-get install --no-install-recommends qemu-system-x86";

/// Whether QEMU is installed and new enough, and whether it can use KVM.
pub(super) async fn qemu(program: &Path, image: Option<&Image>) -> Vec<Check> {
    match version::find(program).await {
        Ok(qemu) => vec![Check::good("QEMU", qemu.banner.clone()), kvm(&qemu, image).await],
        Err(error) => vec![Check::bad("QEMU", one_line(&error), INSTALL_QEMU)],
    }
}

async fn kvm(qemu: &Qemu, image: Option<&Image>) -> Check {
    let sample = image.map(|image| Sample { kernel: image.kernel.clone(), initramfs: image.initramfs.clone() });
    let verdict = LocalSet::new().run_until(accel::choose(qemu, Accel::Auto, async || sample)).await;
    match verdict {
        Ok(verdict) if verdict.accelerator == Accelerator::Kvm => Check::good("KVM", "a guest runs on it"),
        Ok(verdict) => {
            let why = verdict.obstacle.unwrap_or_default();
            Check::poor("KVM", format!("not used, nodes are emulated: {why}"), remedy(&why))
        }
        Err(error) => Check::poor("KVM", one_line(&error), remedy("")),
    }
}

fn remedy(why: &str) -> &'static str {
    if why.contains("ermission denied") {
        "sudo usermod --append --groups kvm $USER   # then log in again"
    } else if why.contains("no kernel at hand") {
        "xcluster image && xcluster doctor"
    } else {
        "use a host with hardware virtualisation"
    }
}

/// Whether the guest is built, or can be built.
pub(super) fn guest(image: Option<&Image>) -> Check {
    const WHAT: &str = "guest";
    if let Some(image) = image {
        return Check::good(WHAT, format!("built: {}", image.kernel.display()));
    }
    let missing: Vec<&str> = image::BUILD_PROGRAMS.iter().copied().filter(|name| is_missing(name)).collect();
    if missing.is_empty() {
        Check::good(WHAT, "not built yet; the first start builds it from packages")
    } else {
        let found = format!("not built, and {} not installed", missing.join(", "));
        Check::bad(WHAT, found, "xcluster start --kernel FILE --initrd FILE   # with your own files")
    }
}

fn is_missing(program: &str) -> bool {
    find_program(Path::new(program)).is_none()
}
