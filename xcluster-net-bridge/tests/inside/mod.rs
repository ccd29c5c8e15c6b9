//! Links of a network namespace, for tests: listing them, and making foreign ones.

use std::os::fd::{FromRawFd, IntoRawFd};

use futures::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::sys::TokioSocket;
use rtnetlink::{Handle, LinkBridge};
use tokio::task::AbortHandle;
use xcluster_core::host::Namespace;
use xcluster_core::testing::{TestFailure, ensure};

/// The links of a namespace.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) handle: Handle,
    task: AbortHandle,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Links {
    pub(crate) fn of(namespace: &Namespace) -> Result<Self, TestFailure> {
        // SAFETY: the number is of a descriptor that is ours alone, and given away here.
        let socket = unsafe { TokioSocket::from_raw_fd(namespace.netlink()?.into_raw_fd()) };
        let (connection, handle, _) = rtnetlink::from_socket(socket);
        Ok(Self { handle, task: tokio::spawn(connection).abort_handle() })
    }

    /// The properties of a link that only its maker changes.
    pub(crate) async fn looks(&self, name: &str) -> Result<String, TestFailure> {
        let message = self.find(name).await?;
        let lasting = |attribute: &&LinkAttribute| {
            use LinkAttribute::{Address, Controller, Group, IfAlias, Mtu};
            matches!(attribute, Address(_) | Controller(_) | Group(_) | IfAlias(_) | Mtu(_))
        };
        let attributes: Vec<&LinkAttribute> = message.attributes.iter().filter(lasting).collect();
        let up = message.header.flags.contains(LinkFlags::Up);
        Ok(format!("{} {up} {attributes:?}", message.header.index))
    }

    /// Makes a bridge without a mark.
    pub(crate) async fn make_bridge(&self, name: &str) -> Result<(), TestFailure> {
        let message = LinkBridge::new(name).mtu(1400).address(vec![2, 0, 0, 0, 0, 1]).build();
        Ok(self.handle.link().add(message).execute().await?)
    }

    pub(crate) async fn remove(&self, name: &str) -> Result<(), TestFailure> {
        let index = self.find(name).await?.header.index;
        Ok(self.handle.link().del(index).execute().await?)
    }

    pub(crate) async fn find(&self, name: &str) -> Result<LinkMessage, TestFailure> {
        let found: Vec<LinkMessage> = self.handle.link().get().match_name(name).execute().try_collect().await?;
        ensure(found.len() == 1, || format!("there is no `{name}`"))?;
        found.into_iter().next().ok_or_else(|| TestFailure::new("nothing"))
    }
}
