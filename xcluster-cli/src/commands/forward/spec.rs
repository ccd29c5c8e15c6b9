//! Parses the arguments of `forward`: `[ADDRESS:]LOCAL:NODE:PORT`. It does not check that the node exists.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::exit::Exit;
use crate::report::Failure;

/// One forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    /// The local address; port 0 means a free port.
    pub(super) listen: SocketAddr,
    /// The node, unparsed.
    pub(super) node: String,
    /// Its port.
    pub(super) port: u16,
}

/// Parses all arguments.
///
/// # Errors
/// All arguments that cannot be parsed.
pub(super) fn read(texts: &[String]) -> Result<Vec<Spec>, Failure> {
    let (specs, wrong): (Vec<_>, Vec<_>) = texts.iter().map(|text| spec(text).ok_or(text)).partition(Result::is_ok);
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).map(|text| format!("`{text}`")).collect();
    if wrong.is_empty() {
        return Ok(specs.into_iter().flatten().collect());
    }
    let message = format!("invalid forward {}: the form is `[ADDRESS:]LOCAL:NODE:PORT`", wrong.join(", "));
    Err(Failure::new(Exit::USAGE, message).hint("`xcluster forward 8080:1:80`"))
}

fn spec(text: &str) -> Option<Spec> {
    let mut parts = text.rsplitn(3, ':');
    let (port, node, local) = (parts.next()?, parts.next()?, parts.next()?);
    let (address, local) = match local.rsplit_once(':') {
        Some((address, local)) => (ip(address)?, local),
        None => (Ipv4Addr::LOCALHOST.into(), local),
    };
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let listen = SocketAddr::new(address, local.parse().ok()?);
    Some(Spec { listen, node: Some(node).filter(|node| !node.is_empty())?.to_owned(), port })
}

/// An IP address; an IPv6 address is in brackets.
fn ip(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, listen: &str, node: &str, port: u16) {
        let expected = Spec { listen: listen.parse().unwrap(), node: node.to_owned(), port };
        assert_eq!(spec(text), Some(expected), "{text}");
    }

    #[test]
    fn a_forward_is_a_port_a_node_and_its_port() {
        check("8080:1:80", "127.0.0.1:8080", "1", 80);
        check("0:vm-201:22", "127.0.0.1:0", "vm-201", 22);
        check("192.0.2.1:8080:1:80", "192.0.2.1:8080", "1", 80);
        check("[::1]:8080:1:80", "[::1]:8080", "1", 80);
    }

    #[test]
    fn all_invalid_forwards_are_reported_at_once() {
        let bad = ["", "1", "1:22", "8080:1:0", "8080::80", "x:1:80", "::1:8080:1:80", "localhost:1:2:3", "1:1:99999"];
        let texts: Vec<String> = bad.iter().map(ToString::to_string).chain(["1:1:1".to_owned()]).collect();
        let failure = read(&texts).unwrap_err();
        assert_eq!(failure.exit, Exit::USAGE);
        assert!(bad.iter().all(|text| failure.chain[0].contains(&format!("`{text}`"))), "{:?}", failure.chain);
        assert!(!failure.chain[0].contains("`1:1:1`"));
    }
}
