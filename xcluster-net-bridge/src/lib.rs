#![doc = include_str!("../README.md")]

mod netlink;

/// The alias of a bridge that `xcluster nsadd` made: clusters use it as it is, and never remove it.
pub const PREPARED_MARK: &str = "xcluster: nsadd";
