//! Rules of nftables, as texts: our own tables, and rules that admit our packets in the tables of others. Runs nothing.

use std::fmt;
use std::net::Ipv4Addr;

use serde_json::Value;
use xcluster_core::addr::{Addressing, Ipv6Prefix};
use xcluster_core::name::NetId;

use super::index::{Ends, Index};
use crate::PREPARED_MARK;

/// The table in a prepared namespace.
pub(super) const INNER_TABLE: &str = "xcluster";

/// The chain that Docker reserves for rules of others.
const DOCKER_USER: &str = "DOCKER-USER";

/// The table in the host's namespace.
pub(super) fn host_table(index: Index) -> String {
    format!("xcluster{index}")
}

/// Masquerades packets from a namespace as the host's, since hosts beyond it know no other address.
pub(super) fn host_script(index: Index) -> String {
    let (table, link, ends) = (host_table(index), index.host_link(), index.inner());
    let condition = format!("oifname != \"{link}\"");
    let rules = [format!("ip saddr {} {condition}", ends.ipv4), format!("ip6 saddr {} {condition}", ends.ipv6)];
    masquerading(&table, &rules) + &genuine(&table, &link, ends)
}

/// The namespace's user has every privilege in it and could forge sources, so only its own address is let through.
fn genuine(table: &str, link: &str, ends: Ends) -> String {
    format!(
        "table inet {table} {{\n  chain forward {{\n    type filter hook forward priority filter; policy accept;\n    \
         iifname \"{link}\" ip saddr != {} drop\n    iifname \"{link}\" ip6 saddr != {} drop\n  }}\n}}\n",
        ends.ipv4, ends.ipv6
    )
}

/// Masquerades packets from the nodes with the namespace's address on the link to the host.
pub(super) fn inner_script(index: Index, prefix: &Ipv6Prefix) -> String {
    let internal = NetId::new(0);
    let addressing = Addressing { ipv6_prefix: prefix.clone() };
    let net: Ipv4Addr = addressing.ipv4_net(internal);
    let condition = format!("oifname \"{}\"", index.inner_link());
    let rules = [
        format!("ip saddr {net}/{} {condition}", Addressing::IPV4_LEN),
        format!("ip6 saddr {}/{} {condition}", addressing.ipv6_net(internal), Addressing::IPV6_LEN),
    ];
    masquerading(INNER_TABLE, &rules)
}

/// A table that masquerades packets with these conditions. It replaces one of the same name.
fn masquerading(table: &str, conditions: &[String]) -> String {
    let rule = |condition: &String| format!("    {condition} masquerade comment \"{PREPARED_MARK}\"\n");
    let rules: String = conditions.iter().map(rule).collect();
    format!(
        "{}table inet {table} {{\n  chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n\
         {rules}  }}\n}}\n",
        without(table)
    )
}

/// Removes a table. An absent one is no error.
pub(super) fn without(table: &str) -> String {
    format!("add table inet {table}\ndelete table inet {table}\n")
}

/// A chain of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    family: String,
    table: String,
    name: String,
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.name)
    }
}

impl Chain {
    /// The commands that admit packets from and to a link, at the head of a chain. iptables can show these rules, if the
    /// chain is one of its own.
    pub(super) fn admission(&self, link: &str) -> String {
        let rule =
            |side, which| format!("insert rule {self} {side} \"{link}\" {which}counter accept comment \"{link}\"\n");
        // Only answers may enter the namespace.
        rule("iifname", "") + &rule("oifname", "ct state established,related ")
    }
}

/// All rules of a namespace, from `nft -j list ruleset`.
#[derive(Debug)]
pub(super) struct Ruleset(Vec<Value>);

impl Ruleset {
    pub(super) fn parse(text: &str) -> serde_json::Result<Self> {
        let mut all: Value = serde_json::from_str(text)?;
        Ok(Self(all["nftables"].as_array_mut().map(std::mem::take).unwrap_or_default()))
    }

    /// Whether a table of this name exists, foreign or not.
    pub(super) fn has_table(&self, table: &str) -> bool {
        self.kind("table").any(|found| found["family"] == "inet" && found["name"] == table)
    }

    /// Whether a table is as we make it: with one rule for each IP version.
    pub(super) fn masquerades(&self, table: &str) -> bool {
        let ours =
            |rule: &&Value| rule["family"] == "inet" && rule["table"] == table && rule["comment"] == PREPARED_MARK;
        self.kind("rule").filter(ours).count() == 2
    }

    /// The chains that drop forwarded packets by default or by a rule, although another table lets them through. Ours must be
    /// admitted there. For Docker's chains, it is the one that Docker reserves for others.
    pub(super) fn barriers(&self) -> Vec<Chain> {
        let ip = |chain: &&Value| ["ip", "ip6", "inet"].iter().any(|family| chain["family"] == *family);
        let chains = self.kind("chain").filter(|chain| chain["hook"] == "forward").filter(ip);
        chains
            .filter(|chain| chain["policy"] == "drop" || self.drops(chain))
            // Our own table drops forged packets on purpose.
            .filter(|chain| !self.masquerades(chain["table"].as_str().unwrap_or_default()))
            .map(|chain| self.entrance(chain))
            .collect()
    }

    /// Whether a chain has a rule that drops all packets.
    fn drops(&self, chain: &Value) -> bool {
        let own = |rule: &&Value| {
            rule["family"] == chain["family"] && rule["table"] == chain["table"] && rule["chain"] == chain["name"]
        };
        let refuses = |statement: &Value| ["drop", "reject"].iter().any(|verdict| statement.get(verdict).is_some());
        self.kind("rule").filter(own).any(|rule| rule["expr"].as_array().is_some_and(|all| all.iter().any(refuses)))
    }

    fn entrance(&self, base: &Value) -> Chain {
        let docker = |chain: &&Value| {
            chain["family"] == base["family"] && chain["table"] == base["table"] && chain["name"] == DOCKER_USER
        };
        read_chain(self.kind("chain").find(docker).unwrap_or(base))
    }

    /// Whether a chain has both rules that admit a link.
    pub(super) fn admits(&self, chain: &Chain, link: &str) -> bool {
        self.admissions(link).filter(|(found, _)| found == chain).count() == 2
    }

    /// The commands that remove every rule that admits a link.
    pub(super) fn dismissal(&self, link: &str) -> String {
        self.admissions(link).map(|(chain, handle)| format!("delete rule {chain} handle {handle}\n")).collect()
    }

    /// The rules that admit a link, recognized by our comment and by their conditions.
    fn admissions<'a>(&'a self, link: &'a str) -> impl Iterator<Item = (Chain, u64)> + 'a {
        let of_link = move |statement: &Value| statement["match"]["right"] == link;
        let ours = move |rule: &&Value| {
            rule["comment"] == link && rule["expr"].as_array().is_some_and(|all| all.iter().any(of_link))
        };
        self.kind("rule").filter(ours).filter_map(|rule| {
            let chain = Chain { name: text(rule, "chain"), ..read_chain(rule) };
            Some((chain, rule["handle"].as_u64()?))
        })
    }

    fn kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter_map(move |object| object.get(kind))
    }
}

fn read_chain(chain: &Value) -> Chain {
    Chain { family: text(chain, "family"), table: text(chain, "table"), name: text(chain, "name") }
}

fn text(object: &Value, key: &str) -> String {
    object[key].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
