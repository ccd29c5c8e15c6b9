//! What callers name nodes by, and what they have booted by.

use crate::name::NodeId;
use crate::plan::NodeBoot;

/// What names a node: a [`NodeId`], a number, or a text such as `vm-001`.
pub trait IntoNodeId: sealed::Sealed {
    /// The node, or what was asked for, if it is none.
    #[doc(hidden)]
    fn into_node_id(self) -> Result<NodeId, String>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! into_node_id {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}

        impl IntoNodeId for $type {
            fn into_node_id(self) -> Result<NodeId, String> {
                u16::try_from(self).ok().and_then(|n| NodeId::new(n).ok()).ok_or_else(|| self.to_string())
            }
        }
    )*};
}

into_node_id!(u8, u16, u32, i32, usize);

impl sealed::Sealed for NodeId {}

impl IntoNodeId for NodeId {
    fn into_node_id(self) -> Result<NodeId, String> {
        Ok(self)
    }
}

impl sealed::Sealed for &NodeId {}

impl IntoNodeId for &NodeId {
    fn into_node_id(self) -> Result<NodeId, String> {
        Ok(*self)
    }
}

impl sealed::Sealed for &String {}

impl IntoNodeId for &String {
    fn into_node_id(self) -> Result<NodeId, String> {
        self.as_str().into_node_id()
    }
}

impl sealed::Sealed for &str {}

impl IntoNodeId for &str {
    fn into_node_id(self) -> Result<NodeId, String> {
        self.parse().map_err(|_| self.to_owned())
    }
}

/// What is to be booted: a [`NodeBoot`], or a node as it is planned by whatever names it.
pub trait IntoNodeBoot {
    /// The node with what differs, or what was asked for, if it is no node.
    #[doc(hidden)]
    fn into_node_boot(self) -> Result<NodeBoot, String>;
}

impl IntoNodeBoot for NodeBoot {
    fn into_node_boot(self) -> Result<NodeBoot, String> {
        Ok(self)
    }
}

impl<T: IntoNodeId> IntoNodeBoot for T {
    fn into_node_boot(self) -> Result<NodeBoot, String> {
        self.into_node_id().map(NodeBoot::new)
    }
}
