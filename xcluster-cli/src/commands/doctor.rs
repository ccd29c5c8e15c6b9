//! `doctor`: checks this host, and prints the commands that fix problems.

mod check;
mod guest;
mod host;

use xcluster_core::host::folder;

use crate::args::{ClusterArgs, DoctorArgs};
use crate::exit::Exit;
use crate::output::{print, print_json};
use crate::report::{Failure, Outcome};
use crate::settings::Settings;
use crate::variables::Variables;

use check::{Check, Verdict};

/// Prints the checks. Succeeds if a cluster can be started.
pub(super) async fn run(args: &DoctorArgs, variables: &Variables) -> Outcome {
    let checks = checks(variables).await?;
    if args.json.json { print_json(&checks) } else { print(&text(&checks)) }?;
    let is_able = checks.iter().all(|check| check.verdict != Verdict::Bad);
    Ok(if is_able { Exit::OK } else { Exit::HOST })
}

/// All checks for a start of the default cluster, in the order in which a start needs them.
async fn checks(variables: &Variables) -> Result<Vec<Check>, Failure> {
    let mut settings = Settings::new(&ClusterArgs::default(), variables)?;
    // An unusable cache is reported by the build that would fill it.
    let image = xcluster_core::image::cached_image().ok().flatten();
    let mut checks = guest::qemu(&settings.options.qemu, image.as_ref()).await;
    checks.extend([
        guest::guest(image.as_ref()),
        host::memory(settings.plan().ok().as_ref()),
        host::runtime_folder(&folder::base()),
        host::ssh(),
        host::nets(settings.choose_backend()?.as_ref()),
        host::uplink(),
        host::ovs(),
    ]);
    Ok(checks)
}

fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.what.len()).max().unwrap_or_default();
    let lines = checks.iter().map(|check| {
        let fix = check.fix.as_ref().map(|fix| format!("{:9}{fix}\n", "")).unwrap_or_default();
        format!("{:7}  {:width$}  {}\n{fix}", check.verdict.label(), check.what, check.found)
    });
    let lines: String = lines.collect();
    let last = if checks.iter().any(|check| check.verdict == Verdict::Bad) {
        "\nNo cluster can be started here until the missing parts are installed.\n"
    } else {
        "\nA cluster can be started here: `xcluster start`.\n"
    };
    lines + last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_part_is_shown_with_the_command_that_installs_it() {
        let checks = [
            Check::good("QEMU", "7.2.22"),
            Check::poor("KVM", "a guest hangs on it", "none needed"),
            Check::bad("kernel", "no apt here", "sudo apt-get install busybox-static"),
        ];
        insta::assert_snapshot!(text(&checks));
    }
}
