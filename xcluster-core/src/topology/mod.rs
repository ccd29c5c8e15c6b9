//! The topology: nets, roles, nodes and routes, as plain data. Pure.
//!
//! * [`model`](Topology): the types, with the defaults of the original xcluster.
//! * [`resolve`](Topology::nodes): the nodes with all defaults and overrides applied.
//! * [`check`](Topology::check): finds all problems at once, with their places in the file.
//! * `read`: the TOML and JSON forms and their schema.
//! * [`problem`](Problems): a list of problems.

mod check;
mod model;
mod problem;
mod read;
mod resolve;

pub use model::{
    Destination, Hop, Masquerade, NetKind, NetSpec, NodeSelector, NodeSpec, RoleSpec, Roles, Route, Topology,
};
pub use problem::{Problem, Problems};
pub(crate) use read::read_value;
pub use resolve::{Node, NodeRoute};
