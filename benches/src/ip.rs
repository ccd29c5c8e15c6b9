//! Bridges and taps that are made by hand: lines for ip(8), and functions that run them.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use xcluster_core::host::Namespace;
use xcluster_core::net::{Net, Port};

/// The name of a net's bridge.
pub fn bridge_name(net: &Net) -> String {
    format!("xcbr{}", net.id)
}

/// The name of a port's tap.
pub fn tap_name(port: &Port) -> String {
    format!("{}_t{}", bridge_name(&port.net), port.node.number())
}

/// Makes a bridge with the properties that xcluster sets. With others it would be slower or faster.
pub fn bridge(net: &Net) -> Vec<String> {
    let (name, mac) = (bridge_name(net), net.addressing.host_mac(net.id));
    let properties = "forward_delay 0 stp_state 0 mcast_snooping 0 group_fwd_mask 0x4000";
    vec![
        format!("link add {name} address {mac} type bridge {properties}"),
        format!("link set dev {name} mtu {} up", net.mtu),
        format!("addr add {}/24 dev {name}", net.host_ipv4()),
        format!("addr add {}/120 dev {name} nodad", net.host_ipv6()),
    ]
}

/// Makes a tap for a QEMU that is started later, as scripts do it: a line for each property.
pub fn tap(port: &Port) -> Vec<String> {
    let (name, bridge) = (tap_name(port), bridge_name(&port.net));
    vec![
        format!("tuntap add dev {name} mode tap vnet_hdr"),
        format!("link set dev {name} mtu {}", port.net.mtu),
        format!("link set dev {name} master {bridge}"),
        format!("link set dev {name} up"),
    ]
}

/// The same in as few lines as ip(8) allows.
pub fn tap_in_short(port: &Port) -> Vec<String> {
    let (name, bridge) = (tap_name(port), bridge_name(&port.net));
    vec![
        format!("tuntap add dev {name} mode tap vnet_hdr"),
        format!("link set dev {name} mtu {} master {bridge} up", port.net.mtu),
    ]
}

/// Removes a link.
pub fn removal(name: &str) -> String {
    format!("link del dev {name}")
}

/// Runs all lines in one `ip`. `options` go before them: `-n NETNS`.
///
/// # Errors
/// A line fails; those after it are not run.
pub fn batch(options: &[&str], lines: &[String], namespace: &Namespace) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(options).args(["-batch", "-"]);
    feed(command, &lines.join("\n"), namespace)
}

/// Runs a shell that starts an `ip` for each line.
///
/// # Errors
/// A line fails; those after it are not run.
pub fn one_by_one(lines: &[String], namespace: &Namespace) -> Result<()> {
    let mut command = Command::new("sh");
    command.arg("-e");
    feed(command, &lines.iter().map(|line| format!("ip {line}\n")).collect::<String>(), namespace)
}

/// The number of links.
///
/// # Errors
/// `ip` cannot be run.
pub fn count_links(namespace: &Namespace) -> Result<usize> {
    let mut command = Command::new("ip");
    command.args(["-o", "link"]);
    enter(&mut command, namespace)?;
    Ok(command.output()?.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count())
}

fn feed(mut command: Command, text: &str, namespace: &Namespace) -> Result<()> {
    enter(&mut command, namespace)?;
    let mut child = command.stdin(Stdio::piped()).spawn().with_context(|| format!("{command:?}"))?;
    child.stdin.take().context("no standard input")?.write_all(text.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

fn enter(command: &mut Command, namespace: &Namespace) -> Result<()> {
    if let Some(inside) = namespace.inside()? {
        inside.enter(command);
    }
    Ok(())
}
