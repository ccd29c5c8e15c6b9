//! Tunnels to the same net on other hosts: checking whether one is possible, and making its link. With the kernel's datapath,
//! the switch makes the link itself. Otherwise it is a link of the kernel, so that the kernel's routes and neighbours apply,
//! and no link below it is changed.

use std::net::IpAddr;

use nix::errno::Errno;
use xcluster_core::host::{Namespace, Netns};
use xcluster_core::net::{Net, NetError};
use xcluster_core::netlink::link::{LinkChange, LinkSelector};
use xcluster_core::netlink::tunnel::{Encapsulation, NewTunnel, keep_frames_apart};
use xcluster_core::netlink::{Netlink, NetlinkError};
use xcluster_core::topology::Problems;

use crate::config::{OvsConfig, OvsNet, Tunnel, TunnelKind};
use crate::names::Names;
use crate::net::NetContext;
use crate::switch::Datapath;
use crate::vsctl_commands;

/// The bytes of a tag of IEEE 802.1Q, which frames carry where there are VLANs.
const TAG: u16 = 4;

/// Why tunnels cannot be made in a namespace, with their places.
pub(crate) async fn problems(
    config: &OvsConfig,
    nets: &[Net],
    namespace: &Namespace,
    netlink: &Netlink,
) -> Result<Problems, NetError> {
    let mut problems = Problems::default();
    for net in nets {
        let settings = config.net(net.id);
        for (index, tunnel) in settings.tunnels.iter().enumerate() {
            if let Some(what) = problem(net, &settings, tunnel, namespace, netlink).await? {
                problems.add(format!("net.{}.tunnel.{index}", net.id), what);
            }
        }
    }
    Ok(problems)
}

async fn problem(
    net: &Net,
    settings: &OvsNet,
    tunnel: &Tunnel,
    namespace: &Namespace,
    netlink: &Netlink,
) -> Result<Option<String>, NetlinkError> {
    let remote = tunnel.remote;
    if *namespace.netns() == Netns::Private {
        return Ok(Some(format!(
            "no packet for {remote} leaves the private network namespace of the cluster; take one that `xcluster nsadd` \
             made, or `--netns here`"
        )));
    }
    let Some(way) = netlink.next_hop(remote).await? else {
        return Ok(Some(format!("the network namespace has no route to {remote}")));
    };
    if way.local {
        return Ok(Some(format!("{remote} is this host itself")));
    }
    if let Some(local) = tunnel.local
        && !netlink.is_local(local).await?
    {
        return Ok(Some(format!("{local} is no address of this host")));
    }
    let links = netlink.links().await?;
    let below = links.iter().find(|link| link.index == way.link);
    Ok(below.and_then(|link| too_large(net, settings, remote, &link.name, link.mtu)))
}

/// Whether an encapsulated frame of the net's MTU is too large for the link below.
fn too_large(net: &Net, settings: &OvsNet, remote: IpAddr, link: &str, mtu: u32) -> Option<String> {
    let tag = if has_vlans(settings) { TAG } else { 0 };
    let around = TunnelKind::overhead(remote) + tag;
    let room = mtu.saturating_sub(around.into());
    (u32::from(net.mtu) > room).then(|| {
        format!(
            "net {} has an MTU of {}, and with {around} bytes around it that does not fit into the {mtu} of `{link}`: \
             give the net an MTU of {room}",
            net.id, net.mtu
        )
    })
}

fn has_vlans(settings: &OvsNet) -> bool {
    settings.tag.is_some() || settings.nodes.values().any(|port| port.tag.is_some() || !port.trunks.is_empty())
}

/// Makes the tunnel to another host, and adds it to the bridge. `before` are the net's existing tunnels.
pub(crate) async fn make(
    NetContext { switch, namespace, netlink, names, .. }: NetContext<'_>,
    net: &Net,
    before: &[Tunnel],
    tunnel: &Tunnel,
) -> Result<(), NetError> {
    let index = before.len();
    if switch.datapath == Datapath::Netdev {
        // The kernel identifies a VXLAN link by its VNI and port alone, and refuses a second one.
        if let Some(first) = before.iter().position(|other| is_same_link(other, tunnel)) {
            return add_end(netlink, &names.tunnel(net.id, first), tunnel).await;
        }
        make_link(namespace, netlink, names, net, (index, tunnel)).await?;
    }
    Ok(switch.transact(vsctl_commands::tunnel(names, net, index, tunnel, switch.datapath)).await?)
}

/// Whether two tunnels of a net share a link of the kernel.
fn is_same_link(one: &Tunnel, other: &Tunnel) -> bool {
    let identity = |tunnel: &Tunnel| (tunnel.vni, tunnel.port.unwrap_or(tunnel.kind.port()));
    one.kind == TunnelKind::Vxlan && other.kind == TunnelKind::Vxlan && identity(one) == identity(other)
}

async fn add_end(netlink: &Netlink, link: &str, tunnel: &Tunnel) -> Result<(), NetError> {
    let found = netlink.link(link).await?.ok_or_else(|| NetError::Conflict { object: link.to_owned() })?;
    Ok(netlink.add_end(found.index, tunnel.remote).await?)
}

async fn make_link(
    namespace: &Namespace,
    netlink: &Netlink,
    names: &Names,
    net: &Net,
    (index, tunnel): (usize, &Tunnel),
) -> Result<(), NetError> {
    let (name, mark) = (names.tunnel(net.id, index), names.net_mark(net.id));
    match netlink.link(&name).await? {
        Some(link) if names.owns(&link) => netlink.remove(LinkSelector::Index(link.index)).await?,
        Some(_) => return Err(NetError::Conflict { object: name }),
        None => {}
    }
    let wanted = NewTunnel {
        name: &name,
        group: names.group(net.id),
        wrapping: wrapping(tunnel.kind),
        vni: vsctl_commands::vni(net, tunnel),
        remote: tunnel.remote,
        local: tunnel.local,
        port: tunnel.port.unwrap_or(tunnel.kind.port()),
    };
    netlink.make_tunnel(&wanted).await.map_err(|failure| not_made(failure, net, tunnel))?;
    keep_frames_apart(namespace, &name)?;
    let change = LinkChange {
        alias: Some(&mark),
        mtu: Some(net.mtu),
        up: Some(true),
        no_own_address: true,
        ..LinkChange::default()
    };
    Ok(netlink.change(LinkSelector::Name(&name), &change).await?)
}

const fn wrapping(kind: TunnelKind) -> Encapsulation {
    match kind {
        TunnelKind::Vxlan => Encapsulation::Vxlan,
        TunnelKind::Geneve => Encapsulation::Geneve,
    }
}

fn not_made(failure: NetlinkError, net: &Net, tunnel: &Tunnel) -> NetError {
    let (name, module) = match tunnel.kind {
        TunnelKind::Vxlan => ("VXLAN", "vxlan"),
        TunnelKind::Geneve => ("Geneve", "geneve"),
    };
    match failure.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EOPNOTSUPP | Errno::ENOPKG) => NetError::Unsupported {
            what: format!("this kernel has no {name}"),
            remedy: Some(format!("sudo modprobe {module}")),
        },
        // The kernel cannot tell which of two links with the same encapsulation a frame belongs to.
        Some(Errno::EEXIST | Errno::EBUSY) => NetError::InUse {
            what: format!("{name} with VNI {}", vsctl_commands::vni(net, tunnel)),
            by: "another link of the network namespace".to_owned(),
        },
        _ => failure.into(),
    }
}

#[cfg(test)]
mod tests {
    use xcluster_core::name::NetId;

    use super::*;

    fn check(mtu: u16, settings: &OvsNet, remote: &str, below: u32, expected: Option<&str>) {
        let mut net = Net::new(NetId::CLUSTER);
        net.mtu = mtu;
        let found = too_large(&net, settings, remote.parse().unwrap(), "eth0", below);
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn what_comes_around_a_frame_must_fit_below() {
        let (plain, tagged) = (OvsNet::default(), OvsNet::default().with_tag(5));
        check(1450, &plain, "10.0.0.2", 1500, None);
        check(1430, &plain, "fd00::2", 1500, None);
        let text = "net 1 has an MTU of 1500, and with 50 bytes around it that does not fit into the 1500 of `eth0`: \
                    give the net an MTU of 1450";
        check(1500, &plain, "10.0.0.2", 1500, Some(text));
        let text = "net 1 has an MTU of 1430, and with 74 bytes around it that does not fit into the 1500 of `eth0`: \
                    give the net an MTU of 1426";
        check(1430, &tagged, "fd00::2", 1500, Some(text));
    }
}
