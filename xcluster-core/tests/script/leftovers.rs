//! The processes, taps and other links that a script leaves, and when they are removed.

use std::time::Duration;

use tokio::time::timeout;
use xcluster_core::host::{Namespace, has_link};
use xcluster_core::net::{HostAccess, NetBackend};
use xcluster_core::testing::harness::Test;
use xcluster_core::testing::leftovers::Watch;
use xcluster_core::testing::{TestFailure, ensure};

use crate::fixture::{Fixture, SOON, ip, lives, port, port_of};

pub(crate) fn tests() -> Vec<Test> {
    crate::named![
        processes_that_a_script_leaves_running_end_with_its_port,
        a_cancelled_setup_is_undone,
        a_tap_goes_with_its_port,
        a_tap_of_a_script_that_fails_goes_as_well,
        a_tap_that_was_there_before_stays,
        other_links_of_a_script_stay,
        a_script_that_wants_it_is_called_at_the_end,
        a_teardown_that_fails_is_reported_and_the_rest_is_done,
    ]
}

const MAKE_TAP: &str = "ip tuntap add xcbr$2_t$1 mode tap";

fn has(name: &str) -> Result<bool, TestFailure> {
    Ok(has_link(&Namespace::here(), name)?)
}

async fn processes_that_a_script_leaves_running_end_with_its_port() -> Result<(), TestFailure> {
    let before = Watch::new().look();
    let fixture = Fixture::new("setsid sleep 1000 >/dev/null 2>&1 & echo $! >$HERE/pid; echo -x")?;
    fixture.set_up(&port(1)).await?;
    let pid = fixture.number("pid").await?;
    ensure(lives(pid), || "it has ended with the script".to_owned())?;
    fixture.tear_down(&port(1)).await?;
    ensure(!lives(pid), || "it lives on".to_owned())?;
    Watch::new().look().same_as(&before)
}

async fn a_cancelled_setup_is_undone() -> Result<(), TestFailure> {
    let before = Watch::new().look();
    let fixture = Fixture::new(&format!("{MAKE_TAP}; echo $$ >$HERE/pid; exec sleep 1000"))?;
    let port = port(1);
    let called_off = async {
        tokio::select! {
            port_config = fixture.set_up(&port) => Err(TestFailure::new(format!("{port_config:?}"))),
            pid = fixture.number("pid") => pid,
        }
    };
    let pid = timeout(SOON, called_off).await??;
    fixture.tear_down(&port).await?;
    ensure(!lives(pid), || "it lives on".to_owned())?;
    Watch::new().look().same_as(&before)
}

async fn a_tap_goes_with_its_port() -> Result<(), TestFailure> {
    let fixture = Fixture::new(&format!("{MAKE_TAP}; echo -netdev tap,id=net$2,ifname=xcbr$2_t$1"))?;
    let port_config = fixture.set_up(&port(1)).await?;
    ensure(port_config.access == HostAccess::Direct("192.168.1.3".parse()?), || format!("{:?}", port_config.access))?;
    fixture.set_up(&port_of(4, 1)).await?;
    fixture.tear_down(&port(1)).await?;
    ensure(!has("xcbr1_t3")? && has("xcbr1_t4")?, || "not this one".to_owned())?;
    fixture.tear_down(&port_of(4, 1)).await?;
    ensure(!has("xcbr1_t4")?, || "it stays".to_owned())
}

async fn a_tap_of_a_script_that_fails_goes_as_well() -> Result<(), TestFailure> {
    let fixture = Fixture::new(&format!("{MAKE_TAP}; exit 1"))?;
    ensure(fixture.set_up(&port(1)).await.is_err() && has("xcbr1_t3")?, || "it makes no tap".to_owned())?;
    fixture.tear_down(&port(1)).await?;
    ensure(!has("xcbr1_t3")?, || "it stays".to_owned())
}

async fn a_tap_that_was_there_before_stays() -> Result<(), TestFailure> {
    ip(&Namespace::here(), "tuntap add xcbr1_t3 mode tap")?;
    let fixture = Fixture::new("echo -netdev tap,id=net$2,ifname=xcbr$2_t$1")?;
    fixture.set_up(&port(1)).await?;
    fixture.tear_down(&port(1)).await?;
    ensure(has("xcbr1_t3")?, || "it is gone".to_owned())
}

async fn other_links_of_a_script_stay() -> Result<(), TestFailure> {
    let fixture = Fixture::new("ip link add xcbr$2 type bridge; ip tuntap add mytap mode tap; echo -x")?;
    fixture.set_up(&port(1)).await?;
    fixture.tear_down(&port(1)).await?;
    ensure(has("xcbr1")? && has("mytap")?, || "they are gone".to_owned())
}

async fn a_script_that_wants_it_is_called_at_the_end() -> Result<(), TestFailure> {
    let script = r#"echo "$@" >>$HERE/calls
        [ "$1" = teardown ] && exit
        echo '{"words": ["-name", "a b"], "teardown": true, "access": {"direct": "10.0.0.1"}}'"#;
    let fixture = Fixture::new(script)?;
    let port_config = fixture.set_up(&port(1)).await?;
    ensure(port_config.kvm.args() == ["-name", "a b"], || port_config.kvm.to_string())?;
    ensure(port_config.access == HostAccess::Direct("10.0.0.1".parse()?), || format!("{:?}", port_config.access))?;
    for _ in 0..2 {
        fixture.tear_down(&port(1)).await?;
    }
    ensure(fixture.text("calls") == "3 1\nteardown 3 1\n", || fixture.text("calls"))
}

async fn a_teardown_that_fails_is_reported_and_the_rest_is_done() -> Result<(), TestFailure> {
    let script = format!(
        r#"[ "$1" = teardown ] && {{ echo stuck >&2; sleep 1000; }}
        {MAKE_TAP}; echo '{{"words": [], "teardown": true}}'"#
    );
    let fixture = Fixture::with(&script, |config| config.with_deadline(Duration::from_millis(1500)))?;
    fixture.set_up(&port(1)).await?;
    let context = fixture.test_context.context();
    let said = fixture.backend.teardown(&context, &port(1)).await.err().map(|error| error.to_string());
    let expected = "`net-setup teardown 3 1` did not end within 1.5 s and was killed: stuck";
    ensure(said.as_deref() == Some(expected), || format!("{said:?}"))?;
    ensure(!has("xcbr1_t3")?, || "the tap stays".to_owned())
}
