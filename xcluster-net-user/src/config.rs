//! The configuration: numbers that clusters share.

use serde::{Deserialize, Serialize};

use crate::error::{BadVariable, BadVariables};

/// The numbers of the host that clusters use: the first TCP ports of forwards, and the multicast groups of nets.
///
/// A number that is set here is fixed: if it is taken, the cluster does not start. Without a setting, the first cluster of
/// the host gets the documented number, and other clusters get free ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct UserConfig {
    /// Telnet to node n is on 127.0.0.1, on this port plus n. Default: 12000.
    pub telnet_base: Option<u16>,
    /// Ssh to node n is on 127.0.0.1, on this port plus n. Default: 12300.
    pub ssh_base: Option<u16>,
    /// Port 8080 of node 1 is on this port of 127.0.0.1. Default: 18080.
    pub k8s_port: Option<u16>,
    /// Port 6443 of node 1 is on this port of 127.0.0.1. Default: 7443.
    pub k8s_api_port: Option<u16>,
    /// Net N is the multicast group 224.0.0.(this plus N), UDP port 27030. Default: 120.
    pub mcast_base: Option<u8>,
}

impl UserConfig {
    /// The variable of [`telnet_base`](Self::telnet_base).
    pub const TELNET_BASE: &str = "XCLUSTER_TELNET_BASE";
    /// The variable of [`ssh_base`](Self::ssh_base).
    pub const SSH_BASE: &str = "XCLUSTER_SSH_BASE";
    /// The variable of [`k8s_port`](Self::k8s_port).
    pub const K8S_PORT: &str = "XCLUSTER_K8S_PORT";
    /// The variable of [`mcast_base`](Self::mcast_base).
    pub const MCAST_BASE: &str = "XCLUSTER_MCAST_BASE";

    /// Reads the variables that users of the original xcluster set. `variable` returns the value of one, usually from the
    /// environment. An empty one counts as not set, as in a shell script.
    ///
    /// # Errors
    /// All values that are not such numbers.
    pub fn from_vars(variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadVariables> {
        let mut bad = Vec::new();
        let mut read = |name: &'static str, max: u16| -> Option<u16> {
            let value = variable(name).filter(|value| !value.is_empty())?;
            let number = value.parse().ok().filter(|number| (1..=max).contains(number));
            if number.is_none() {
                bad.push(BadVariable { name, value, max });
            }
            number
        };
        // A base leaves space for the largest node number, 240.
        let base = u16::MAX - 240;
        let config = Self {
            telnet_base: read(Self::TELNET_BASE, base),
            ssh_base: read(Self::SSH_BASE, base),
            k8s_port: read(Self::K8S_PORT, u16::MAX),
            k8s_api_port: None,
            mcast_base: read(Self::MCAST_BASE, u8::MAX.into()).and_then(|number| number.try_into().ok()),
        };
        if bad.is_empty() { Ok(config) } else { Err(BadVariables(bad)) }
    }
}
