//! Attaches to the command's cluster, and resolves selectors to nodes.

use tokio::net::TcpStream;
use xcluster_core::cluster;
use xcluster_core::host::folder::Survey;
use xcluster_core::name::{ClusterName, NodeId, Role};
use xcluster_core::plan::Plan;
use xcluster_core::{Cluster, ClusterStatus, Error, Node, NodeState, NodeStatus};

use crate::args::NameArg;
use crate::exit::Exit;
use crate::report::{Failure, note};
use crate::settings::cluster_name;
use crate::variables::Variables;

/// Attaches to the command's cluster.
pub(super) async fn attach(arg: &NameArg, variables: &Variables) -> Result<Cluster, Failure> {
    let name = cluster_name(arg, variables)?;
    Cluster::attach(&name).await.map_err(|error| not_attached(error, &name))
}

/// The failure of a cluster that cannot be attached to.
pub(super) fn not_attached(error: Error, name: &ClusterName) -> Failure {
    let failure = Failure::from(error);
    if failure.exit == Exit::ABSENT { failure.hint(others(name)) } else { failure }
}

/// Lists the clusters in the runtime folder, and prints a note for each foreign file there.
pub(super) fn survey() -> Result<Survey, Failure> {
    let survey = cluster::survey()?;
    for foreign in &survey.foreign {
        note(&foreign.to_string());
    }
    Ok(survey)
}

/// The hint for a cluster that is not running.
fn others(name: &ClusterName) -> String {
    // If the running clusters cannot be listed, the hint names none.
    let running = cluster::survey().unwrap_or_default().running;
    let names: Vec<String> = running.iter().map(|other| format!("`--name {other}`")).collect();
    match (names.as_slice(), name.as_str()) {
        ([], "default") => "`xcluster start`".to_owned(),
        ([], name) => format!("`xcluster start --name {name}`"),
        (names, _) => format!("running: {}; `xcluster status --all` shows all clusters", names.join(", ")),
    }
}

/// The node of a selector.
pub(super) fn one<'a>(selector: &str, status: &'a ClusterStatus) -> Result<&'a NodeStatus, Failure> {
    let id: NodeId = selector.parse().map_err(|error| Failure::from_error(Exit::ABSENT, &error))?;
    status.nodes.iter().find(|node| node.id == id).ok_or_else(|| {
        let message = format!("cluster `{}` has no node {}", status.name, id.number());
        Failure::new(Exit::ABSENT, message).hint(format!("its nodes are {}", numbers(status)))
    })
}

/// The nodes of selectors, sorted by number, each once. Roles and `all` select from the plan; a number may be any node's.
pub(super) fn planned(selectors: &[String], plan: &Plan) -> Result<Vec<NodeId>, Failure> {
    let mut nodes = Vec::new();
    for selector in selectors.iter().flat_map(|selectors| selectors.split(',')) {
        let all = plan.nodes.iter().map(|planned| planned.node.id);
        match (selector.parse::<Role>(), range(selector)) {
            (Ok(role), _) => nodes.extend(all.filter(|id| id.role() == role)),
            _ if selector == "all" => nodes.extend(all),
            (_, Some((first, last))) if first <= last => {
                for number in first..=last {
                    nodes.push(any(&number.to_string())?);
                }
            }
            (_, Some((first, last))) => {
                return Err(Failure::new(Exit::ABSENT, format!("the range `{first}-{last}` is empty")));
            }
            (_, None) => nodes.push(any(selector)?),
        }
    }
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

fn any(selector: &str) -> Result<NodeId, Failure> {
    selector.parse().map_err(|error| Failure::from_error(Exit::ABSENT, &error))
}

/// The nodes of selectors, sorted by number, each once. Selectors are `2`, `vm-002`, `1-4`, `workers`, `routers`, `testers`, `all`, or
/// several of these separated by commas.
pub(super) fn select(selectors: &[String], status: &ClusterStatus) -> Result<Vec<NodeId>, Failure> {
    let mut nodes = Vec::new();
    for selector in selectors.iter().flat_map(|selectors| selectors.split(',')) {
        nodes.extend(members(selector, status)?);
    }
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

fn members(selector: &str, status: &ClusterStatus) -> Result<Vec<NodeId>, Failure> {
    let all = status.nodes.iter().map(|node| node.id);
    if selector == "all" {
        return Ok(all.collect());
    }
    if let Ok(role) = selector.parse::<Role>() {
        let members: Vec<NodeId> = all.filter(|id| id.role() == role).collect();
        return if members.is_empty() {
            Err(Failure::new(Exit::ABSENT, format!("cluster `{}` has no {role}", status.name)))
        } else {
            Ok(members)
        };
    }
    match range(selector) {
        Some((first, last)) if first <= last => {
            (first..=last).map(|number| one(&number.to_string(), status).map(|node| node.id)).collect()
        }
        Some((first, last)) => Err(Failure::new(Exit::ABSENT, format!("the range `{first}-{last}` is empty"))),
        None => Ok(vec![one(selector, status)?.id]),
    }
}

/// Parses a range such as `1-4`. A host name such as `vm-001` is not a range.
fn range(selector: &str) -> Option<(u16, u16)> {
    let (first, last) = selector.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn numbers(status: &ClusterStatus) -> String {
    let numbers: Vec<String> = status.nodes.iter().map(|node| node.id.number().to_string()).collect();
    numbers.join(" ")
}

/// Whether the nodes have telnet and ssh, and the host is on a net that reaches them.
pub(super) fn logs_in(status: &ClusterStatus) -> bool {
    status.login && status.nets.iter().any(|net| net.host)
}

/// Checks that a user can log in to a node.
///
/// # Errors
/// The node is not ready, the host is on no net, or the cluster was started without logins.
pub(super) fn login(node: &NodeStatus, status: &ClusterStatus) -> Result<(), Failure> {
    if node.state != NodeState::Ready {
        let why = node.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        return Err(Failure::new(Exit::FAILURE, format!("{} is not ready ({}{why})", node.name, node.state)));
    }
    if logs_in(status) {
        return Ok(());
    }
    let why =
        if status.login { "the host is on none of its nets" } else { "the cluster was started with `--no-login`" };
    let failure = Failure::new(Exit::FAILURE, format!("cannot log in to {}: {why}", node.name));
    Err(failure.hint(format!("`xcluster console --name {} {}`", status.name, node.id.number())))
}

/// Connects to a TCP port of a node.
pub(super) async fn connect(node: &Node, port: u16) -> Result<TcpStream, Failure> {
    let stream = node.connect(port).await?;
    let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
    stream.map_err(|error| Failure::io(format!("use a connection to {}", node.name()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cluster with node 1, which is ready, and router 201, which has failed.
    fn status() -> ClusterStatus {
        serde_json::from_str(include_str!("../../tests/fixtures/status.json")).unwrap()
    }

    fn selected(selectors: &[&str]) -> Result<Vec<u16>, String> {
        let selectors: Vec<String> = selectors.iter().map(ToString::to_string).collect();
        let nodes = select(&selectors, &status());
        nodes.map(|ids| ids.into_iter().map(NodeId::number).collect()).map_err(|failure| failure.chain.join(": "))
    }

    #[test]
    fn selected_nodes_are_unique_and_sorted() {
        assert_eq!(selected(&["201", "vm-001", "1"]), Ok(vec![1, 201]));
        assert_eq!(selected(&["201,1"]), Ok(vec![1, 201]));
        assert_eq!(selected(&["1-1"]), Ok(vec![1]));
        assert_eq!(selected(&["routers"]), Ok(vec![201]));
        assert_eq!(selected(&["nodes", "all"]), Ok(vec![1, 201]));
    }

    #[test]
    fn a_selector_without_nodes_is_an_error() {
        let error = |selector: &str| selected(&[selector]).unwrap_err();
        assert_eq!(error("1-3"), "cluster `default` has no node 2");
        assert_eq!(error("3-1"), "the range `3-1` is empty");
        assert_eq!(error("testers"), "cluster `default` has no testers");
        assert!(error("host").starts_with("`host` is not a node"));
        assert!(error("250").starts_with("`250` is not a node"));
    }

    #[test]
    fn a_login_needs_a_ready_node_and_a_cluster_with_logins() {
        let mut status = status();
        let check = |selector: &str, status: &ClusterStatus| login(one(selector, status).unwrap(), status);
        assert!(check("1", &status).is_ok());
        let failed = check("201", &status).unwrap_err();
        assert_eq!(failed.chain, ["vm-201 is not ready (failed: QEMU was ended by signal 9)"]);
        status.login = false;
        let refused = check("1", &status).unwrap_err();
        assert_eq!(refused.hint.as_deref(), Some("`xcluster console --name default 1`"));
        status.login = true;
        status.nets.iter_mut().for_each(|net| net.host = false);
        assert_eq!(
            check("1", &status).unwrap_err().chain,
            ["cannot log in to vm-001: the host is on none of its nets"]
        );
    }
}
