//! What is wanted: nets, roles, nodes and the routes between them. Plain data, read from TOML and JSON; nothing here
//! touches the machine.
//!
//! * [`model`](Topology): the data, with the defaults of the original xcluster.
//! * [`resolve`](Topology::nodes): who exists, on which nets, with which routes, once roles and overrides are merged.
//! * [`check`](Topology::check): every problem at once, with its place in the file.
//! * `read`: the TOML and JSON forms and their schema.

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
