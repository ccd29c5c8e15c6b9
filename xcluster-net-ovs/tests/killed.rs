//! An owner that is killed with signal 9 at any moment leaves no process of its switch. Links and rows in a shared place are
//! removed by the next cluster, or by the cleanup of another process.
//!
//! Each test has a network namespace, which plays the part of the host's.

mod fixture;

use std::fs;
use std::io::{self, Write};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use xcluster_core::host::namespace::keep_privileges;
use xcluster_core::host::{Namespace, Netns};
use xcluster_core::name::NetId;
use xcluster_core::net::NetBackend;
use xcluster_core::netlink::Netlink;
use xcluster_core::testing::{TestContext, TestFailure, ensure, harness};
use xcluster_net_ovs::testing::{HostSwitch, vsctl};
use xcluster_net_ovs::{OvsConfig, OvsNet, gc};

use fixture::{Fixture, check_links, links};

/// The argument that makes this program an owner.
const OWN: &str = "--own";
/// The argument for a private instance, in a private namespace or in the owner's; for the host's instance it is a database.
const PRIVATE: &str = "private";
const HERE: &str = "here";

/// The messages of an owner, one at each moment.
const MOMENTS: [&str; 4] = ["begun", "allowed", "made", "wired"];
/// The delays in milliseconds after which it is killed, since the exact time always differs.
const LATER: [u64; 6] = [0, 5, 15, 30, 60, 120];

const TIMEOUT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [own, place, folder] = args.as_slice()
        && own == OWN
    {
        return match carry_out(place, folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => {
                let _ = writeln!(io::stderr(), "the owner failed: {failed}");
                ExitCode::FAILURE
            }
        };
    }
    macro_rules! tests {
        ($($name:ident),* $(,)?) => { vec![$(harness::test(stringify!($name), $name)),*] };
    }
    harness::main(tests![
        nothing_is_left_of_a_private_cluster,
        what_is_left_where_others_are_is_taken_over_by_the_next_cluster,
        what_is_left_in_the_hosts_switch_is_removed_by_another_process,
    ])
}

/// The code of an owner, until its parent has gone.
fn carry_out(place: &str, folder: &str) -> Result<(), TestFailure> {
    // Its processes are found by their session. The test removes its files.
    nix::unistd::setsid()?;
    let netns = if place == PRIVATE { Netns::Private } else { Netns::Here };
    let config = OvsConfig::default().with_net(NetId::CLUSTER, OvsNet::default().with_mirror());
    let config = if [PRIVATE, HERE].contains(&place) { config } else { config.on_system(place) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let test_context = TestContext::within(folder.as_ref(), "victim")?.in_namespace(Namespace::open(&netns)?);
        let fixture = Fixture::on(test_context, config, &[1, 2])?;
        let context = fixture.test_context.context();
        say(MOMENTS[0])?;
        fixture.preflight().await?;
        say(MOMENTS[1])?;
        fixture.backend.create_net(&context, &fixture.net).await?;
        say(MOMENTS[2])?;
        fixture.set_up().await?;
        say(MOMENTS[3])?;
        tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
        Ok(fixture.end().await?)
    })
}

fn say(moment: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{moment}")
}

/// A running owner.
struct Owner {
    child: Child,
    session: i32,
    said: Lines<BufReader<ChildStdout>>,
    _folder: tempfile::TempDir,
}

impl Owner {
    fn start(place: &str) -> Result<Self, TestFailure> {
        // Orphans become children of this process, so that their end is an event.
        set_child_subreaper(true)?;
        let folder = tempfile::tempdir()?;
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command.args([OWN, place]).arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        // As root has them where root is.
        keep_privileges(&mut command);
        let mut child = Command::from(command).kill_on_drop(true).spawn()?;
        let session = child.id().ok_or_else(|| TestFailure::new("the owner has ended"))?.cast_signed();
        let stdout = child.stdout.take().ok_or_else(|| TestFailure::new("the owner says nothing"))?;
        Ok(Self { child, session, said: BufReader::new(stdout).lines(), _folder: folder })
    }

    async fn until(&mut self, moment: &str) -> Result<(), TestFailure> {
        let said = async {
            while let Some(line) = self.said.next_line().await? {
                if line == moment {
                    return Ok(());
                }
            }
            Err(TestFailure::new("the owner has ended"))
        };
        timeout(TIMEOUT, said).await.map_err(|_| TestFailure::new("the moment does not come"))?
    }

    /// Kills it at a moment, and waits until all of its processes are gone.
    async fn dies_at(mut self, moment: &str, later: u64) -> Result<(), TestFailure> {
        self.until(moment).await?;
        tokio::time::sleep(Duration::from_millis(later)).await;
        self.child.kill().await?;
        let session = self.session;
        let reaped = tokio::task::spawn_blocking(move || {
            while let Some(pid) = members(session).first() {
                // It fails while the parent lives; when that has ended, the process is our child.
                while waitpid(*pid, None) == Err(Errno::EINTR) {}
            }
        });
        let late = |_| TestFailure::new(format!("processes are left: {:?}", members(session)));
        Ok(timeout(TIMEOUT, reaped).await.map_err(late)??)
    }

    /// Makes it end by itself.
    async fn ends(mut self) -> Result<(), TestFailure> {
        self.until(MOMENTS[3]).await?;
        drop(self.child.stdin.take());
        let ended =
            timeout(TIMEOUT, self.child.wait()).await.map_err(|_| TestFailure::new("the owner does not end"))??;
        ensure(ended.success(), || ended.to_string())
    }
}

/// The processes of a session, from /proc/PID/stat: `pid (name) state parent group session …`.
fn members(session: i32) -> Vec<Pid> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let of = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields.to_owned()).unwrap_or_default();
        fields.split_whitespace().nth(3).and_then(|field| field.parse().ok()) == Some(session)
    };
    pids.filter(of).map(Pid::from_raw).collect()
}

/// Several times at each moment.
async fn each(mut check: impl AsyncFnMut(&str, u64) -> Result<(), TestFailure>) -> Result<(), TestFailure> {
    for moment in MOMENTS {
        for later in LATER {
            let checked = check(moment, later).await;
            checked.map_err(|failed| failed.during(format!("killed {later} ms after it was {moment}")))?;
        }
    }
    Ok(())
}

async fn nothing_is_left_of_a_private_cluster() -> Result<(), TestFailure> {
    each(async |moment, later| {
        Owner::start(PRIVATE)?.dies_at(moment, later).await?;
        check_links(&Namespace::here(), &["lo"]).await
    })
    .await
}

/// All that is left has its mark.
async fn what_is_left_where_others_are_is_taken_over_by_the_next_cluster() -> Result<(), TestFailure> {
    let mut most = 0;
    each(async |moment, later| {
        Owner::start(HERE)?.dies_at(moment, later).await?;
        let left = Netlink::connect(&Namespace::here())?.links().await?;
        most = most.max(left.len() - 1);
        for link in left.iter().filter(|link| link.name != "lo") {
            ensure(link.alias.starts_with("xcluster: "), || format!("it has no mark: {link:?}"))?;
            ensure(!link.name.contains("_t"), || format!("a tap is left: {link:?}"))?;
        }
        if later == LATER[0] {
            Owner::start(HERE)?.ends().await?;
            check_links(&Namespace::here(), &["lo"]).await?;
        }
        Ok(())
    })
    .await?;
    Owner::start(HERE)?.ends().await?;
    check_links(&Namespace::here(), &["lo"]).await?;
    ensure(most == 3, || format!("{most} links were there to be taken over"))
}

async fn what_is_left_in_the_hosts_switch_is_removed_by_another_process() -> Result<(), TestFailure> {
    let folder = tempfile::tempdir()?;
    let host = HostSwitch::start(folder.path()).await?;
    let mut most = 0;
    each(async |moment, later| {
        Owner::start(host.db())?.dies_at(moment, later).await?;
        let left = vsctl(host.db(), &["list-br"]).await?;
        most = most.max(left.lines().count());
        gc(&OvsConfig::default().on_system(host.db())).await?;
        let left = vsctl(host.db(), &["list-br"]).await?;
        ensure(left.is_empty(), || format!("{left} is left"))?;
        // A link without a row, which the switch had not opened yet, is removed by the next start of that cluster.
        let left = links(&Namespace::here()).await?;
        if left != ["lo"] {
            Owner::start(host.db())?.ends().await?;
        }
        check_links(&Namespace::here(), &["lo"]).await
    })
    .await?;
    ensure(most == 1, || format!("{most} bridges were there to be removed"))?;
    Ok(host.end().await?)
}
