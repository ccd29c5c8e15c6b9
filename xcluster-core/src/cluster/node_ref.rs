//! The values that name a node, and those that describe a boot.

use super::node::Node;
use crate::name::NodeId;
use crate::plan::NodeBoot;

/// A value that names a node: a [`NodeId`], a [`Node`], a number, or a text such as `vm-001`.
pub trait IntoNodeId: sealed::Sealed {
    /// The node, or the value as text if it names none.
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

impl sealed::Sealed for Node {}

impl IntoNodeId for Node {
    fn into_node_id(self) -> Result<NodeId, String> {
        Ok(self.id())
    }
}

impl sealed::Sealed for &Node {}

impl IntoNodeId for &Node {
    fn into_node_id(self) -> Result<NodeId, String> {
        Ok(self.id())
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

/// A value that describes a boot: a [`NodeBoot`], or a value that names a node, which is booted as planned.
pub trait IntoNodeBoot {
    /// The node with the changes to its plan, or the value as text if it names none.
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
