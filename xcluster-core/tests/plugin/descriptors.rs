//! Descriptors that a plugin gives and gets: by tokens, once, and none stays open.

use std::fs;
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use xcluster_core::host::{HostLock, Namespace};
use xcluster_core::net::PortConfig;
use xcluster_core::testing::harness::Test;
use xcluster_core::testing::{TestContext, TestFailure, ensure};

use super::fixture::{Fixture, error_text, port, set_up};
use super::named;

pub(crate) fn tests() -> Vec<Test> {
    named![
        descriptors_arrive_close_on_exec_and_leave_nothing,
        a_descriptor_that_is_given_and_not_named_is_closed,
        a_token_is_good_for_one_call_and_once,
        the_host_opens_and_locks_in_the_clusters_namespace,
        a_cluster_without_a_namespace_is_served_here,
    ]
}

/// A value in the second arg, such as `inode=7,ended=0`.
fn value<T: std::str::FromStr>(port_config: &PortConfig, key: &str) -> Result<T, TestFailure> {
    let arg = port_config.kvm.args().get(1).map(String::as_str).unwrap_or_default();
    let value = arg.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).ok_or_else(|| TestFailure::new(format!("no {key} in `{arg}`")))
}

/// How many descriptors of this process lead to this socket.
fn open(inode: u64) -> Result<usize, TestFailure> {
    let links = fs::read_dir("/proc/self/fd")?.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    Ok(links.filter(|link| link.to_str() == Some(&format!("socket:[{inode}]"))).count())
}

async fn descriptors_arrive_close_on_exec_and_leave_nothing() -> Result<(), TestFailure> {
    let fixture = Fixture::new(&[])?;
    let port_config = fixture.set_up(&port(3)).await?;
    let inode = value(&port_config, "inode")?;
    ensure(port_config.kvm.descriptors().keys().eq(["a", "b"]), || format!("{port_config:?}"))?;
    for descriptor in port_config.kvm.descriptors().values() {
        let flags =
            FdFlag::from_bits_retain(fcntl(descriptor.as_fd(), FcntlArg::F_GETFD).map_err(std::io::Error::from)?);
        ensure(flags.contains(FdFlag::FD_CLOEXEC), || format!("{flags:?}"))?;
    }
    // One of the plugin, and the two of the port.
    ensure(open(inode)? == 3, || "while the port is set up".to_owned())?;
    drop(port_config);
    ensure(open(inode)? == 1, || "after the port was torn down".to_owned())
}

async fn a_descriptor_that_is_given_and_not_named_is_closed() -> Result<(), TestFailure> {
    let fixture = Fixture::new(&["-DGIVES_MANY"])?;
    let port_config = fixture.set_up(&port(3)).await?;
    let inode = value(&port_config, "inode")?;
    ensure(open(inode)? == 3, || format!("{} are open", open(inode).unwrap_or_default()))
}

async fn a_token_is_good_for_one_call_and_once() -> Result<(), TestFailure> {
    let check = async |flag: &str, before: bool, expected: &str| {
        let fixture = Fixture::new(&[flag])?;
        if before {
            let inode = value(&fixture.set_up(&port(4)).await?, "inode")?;
            let said = fixture.set_up(&port(3)).await.err().map(|error| error_text(&error)).unwrap_or_default();
            ensure(said.contains(expected), || said)?;
            return ensure(open(inode)? == 1, || "something stays open".to_owned());
        }
        let said = fixture.set_up(&port(3)).await.err().map(|error| error_text(&error)).unwrap_or_default();
        ensure(said.contains(expected), || said)
    };
    check("-DOTHER_TOKEN", false, "which was never given in this call").await?;
    check("-DOLD_TOKEN", true, "which was never given in this call").await?;
    check("-DSAME_TOKEN", false, "answered `setup` with the token ").await?;
    check("-DSAME_TOKEN", false, " twice").await
}

async fn the_host_opens_and_locks_in_the_clusters_namespace() -> Result<(), TestFailure> {
    let namespace = Arc::new(Namespace::private()?);
    let mut fixture = Fixture::new(&[])?;
    fixture.test_context = TestContext::new("plugged")?.in_namespace(Arc::clone(&namespace));
    let port_config = fixture.set_up(&port(3)).await?;
    let flags = FdFlag::from_bits_retain(value(&port_config, "flags")?);
    ensure(flags == FdFlag::FD_CLOEXEC, || format!("a socket has {flags:?}"))?;
    ensure(value::<i32>(&port_config, "space")? == 1, || "the namespace is not handed over".to_owned())?;
    ensure(value::<i32>(&port_config, "locked")? == 0, || "the name is not locked".to_owned())?;
    ensure(HostLock::take_in(&namespace, "plugin/test").is_err(), || "another process gets the name".to_owned())?;
    ensure(HostLock::take("plugin/test").is_ok(), || "it was locked elsewhere, too".to_owned())?;
    // Another cluster in the namespace learns that it is taken.
    let other = TestContext::new("other")?.in_namespace(Arc::clone(&namespace));
    let port_config = set_up(&fixture.backend, &other.context(), &port(3)).await?;
    let taken = -(nix::errno::Errno::EADDRINUSE as i32);
    ensure(value::<i32>(&port_config, "locked")? == taken, || "the name is locked twice".to_owned())?;
    drop(fixture);
    ensure(HostLock::take_in(&namespace, "plugin/test").is_ok(), || "the host lock outlives its cluster".to_owned())
}

async fn a_cluster_without_a_namespace_is_served_here() -> Result<(), TestFailure> {
    let fixture = Fixture::new(&[])?;
    let port_config = fixture.set_up(&port(3)).await?;
    let none = -(nix::errno::Errno::ENOENT as i32);
    ensure(value::<i32>(&port_config, "space")? == none, || "it has a namespace".to_owned())?;
    ensure(value::<i32>(&port_config, "locked")? == 0, || "the name is not locked".to_owned())?;
    ensure(HostLock::take("plugin/test").is_err(), || "another process gets the name".to_owned())
}
