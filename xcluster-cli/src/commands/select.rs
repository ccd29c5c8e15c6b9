//! Commands' way to a cluster that another process owns, and to the nodes that somebody names.

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

/// The cluster that a command is about.
pub(super) async fn attach(arg: &NameArg, variables: &Variables) -> Result<Cluster, Failure> {
    let name = cluster_name(arg, variables)?;
    Cluster::attach(&name).await.map_err(|error| not_attached(error, &name))
}

/// The failure of a cluster that cannot be attached to.
pub(super) fn not_attached(error: Error, name: &ClusterName) -> Failure {
    let failure = Failure::from(error);
    if failure.exit == Exit::ABSENT { failure.hint(others(name)) } else { failure }
}

/// What the folder of clusters has in it, after telling the user of everything there that is not ours.
pub(super) fn survey() -> Result<Survey, Failure> {
    let survey = cluster::survey()?;
    for foreign in &survey.foreign {
        note(&foreign.to_string());
    }
    Ok(survey)
}

/// What to type instead of the name of a cluster that does not run.
fn others(name: &ClusterName) -> String {
    // If the others cannot be listed, none is offered.
    let running = cluster::survey().unwrap_or_default().running;
    let names: Vec<String> = running.iter().map(|other| format!("`--name {other}`")).collect();
    match (names.as_slice(), name.as_str()) {
        ([], "default") => "`xcluster start`".to_owned(),
        ([], name) => format!("`xcluster start --name {name}`"),
        (names, _) => format!("{} runs; `xcluster status --all` shows all", names.join(", ")),
    }
}

/// The node that a selector names.
pub(super) fn one<'a>(selector: &str, status: &'a ClusterStatus) -> Result<&'a NodeStatus, Failure> {
    let id: NodeId = selector.parse().map_err(|error| Failure::from_error(Exit::ABSENT, &error))?;
    status.nodes.iter().find(|node| node.id == id).ok_or_else(|| {
        let message = format!("there is no node {} in cluster `{}`", id.number(), status.name);
        Failure::new(Exit::ABSENT, message).hint(format!("it has {}", numbers(status)))
    })
}

/// The nodes that selectors name, each once, by number: those that are planned, and by number any other as well.
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
            (_, Some((first, last))) => return Err(Failure::new(Exit::ABSENT, format!("`{first}-{last}` is empty"))),
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

/// The nodes that selectors name, each once, by number: `2`, `vm-002`, `1-4`, `workers`, `routers`, `testers`, `all`, and
/// several of these with commas between them.
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
            Err(Failure::new(Exit::ABSENT, format!("there are no {role} in cluster `{}`", status.name)))
        } else {
            Ok(members)
        };
    }
    match range(selector) {
        Some((first, last)) if first <= last => {
            (first..=last).map(|number| one(&number.to_string(), status).map(|node| node.id)).collect()
        }
        Some((first, last)) => Err(Failure::new(Exit::ABSENT, format!("`{first}-{last}` is empty"))),
        None => Ok(vec![one(selector, status)?.id]),
    }
}

/// `1-4`. A host name such as `vm-001` is no range.
fn range(selector: &str) -> Option<(u8, u8)> {
    let (first, last) = selector.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn numbers(status: &ClusterStatus) -> String {
    let numbers: Vec<String> = status.nodes.iter().map(|node| node.id.number().to_string()).collect();
    numbers.join(" ")
}

/// Whether telnet and ssh of its nodes are there, and the host on a net that leads to them.
pub(super) fn logs_in(status: &ClusterStatus) -> bool {
    status.login && status.nets.iter().any(|net| net.host)
}

/// Whether somebody can log in to a node.
///
/// # Errors
/// It is not ready, the host is on no net, or the cluster was started without logins.
pub(super) fn login(node: &NodeStatus, status: &ClusterStatus) -> Result<(), Failure> {
    if node.state != NodeState::Ready {
        let why = node.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        return Err(Failure::new(Exit::FAILURE, format!("{} is not ready ({}{why})", node.name, node.state)));
    }
    if logs_in(status) {
        return Ok(());
    }
    let why = if status.login { "the host is on none of its nets" } else { "`--no-login` was given" };
    let failure = Failure::new(Exit::FAILURE, format!("nobody can log in to {}: {why}", node.name));
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

    /// A cluster of node 1, which is ready, and router 201, which has failed.
    fn status() -> ClusterStatus {
        serde_json::from_str(include_str!("../../tests/fixtures/status.json")).unwrap()
    }

    fn selected(selectors: &[&str]) -> Result<Vec<u8>, String> {
        let selectors: Vec<String> = selectors.iter().map(ToString::to_string).collect();
        let nodes = select(&selectors, &status());
        nodes.map(|ids| ids.into_iter().map(NodeId::number).collect()).map_err(|failure| failure.chain.join(": "))
    }

    #[test]
    fn selectors_name_nodes_once_and_in_order() {
        assert_eq!(selected(&["201", "vm-001", "1"]), Ok(vec![1, 201]));
        assert_eq!(selected(&["201,1"]), Ok(vec![1, 201]));
        assert_eq!(selected(&["1-1"]), Ok(vec![1]));
        assert_eq!(selected(&["routers"]), Ok(vec![201]));
        assert_eq!(selected(&["nodes", "all"]), Ok(vec![1, 201]));
    }

    #[test]
    fn a_selector_that_names_nobody_is_an_error() {
        let error = |selector: &str| selected(&[selector]).unwrap_err();
        assert_eq!(error("1-3"), "there is no node 2 in cluster `default`");
        assert_eq!(error("3-1"), "`3-1` is empty");
        assert_eq!(error("testers"), "there are no testers in cluster `default`");
        assert!(error("host").starts_with("`host` is not a node"));
        assert!(error("250").starts_with("`250` is not a node"));
    }

    #[test]
    fn nobody_logs_in_to_a_node_that_is_not_ready_or_was_started_without_logins() {
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
            ["nobody can log in to vm-001: the host is on none of its nets"]
        );
    }
}
