//! Many flows through two routers at once (ECMP), one of which is killed meanwhile; in IPv4 and IPv6.
//!
//! ```text
//!             ┌── vm-201 ──┐
//! vm-221 ─────┤            ├───── vm-001
//!       net 2 └── vm-202 ──┘ net 1
//! ```
//!
//! The test shows:
//! * The default topology spreads flows by addresses *and* ports. So each router carries some of the flows between two hosts.
//! * Flows over a router that dies are lost until its neighbours have noticed.
//! * From then on the other router carries all flows. Static ECMP does not do that by itself: IPv4 goes on sending half of the
//!   flows to the dead router unless `fib_multipath_use_neigh` is set, which the generated configuration does.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use xcluster_core::guest::exec;
use xcluster_core::name::NetId;
use xcluster_core::{Cluster, Command, Event, Execution, Node};
use xcluster_net_user::UserBackend;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Connections per round, each to another port. All of them take the same router by chance once in two thousand million
/// rounds.
///
/// The server's port must differ, not the client's: an IPv6 client chooses the route before its own port.
const PORTS: RangeInclusive<u16> = 8001..=8032;

/// Sets how soon Linux gives a dead neighbour up, for both IP versions. The time is the sum of
/// * at most 1.5 × 2 s in which a neighbour that answered counts as reachable,
/// * 1 s in which a sender waits for traffic from it,
/// * three probes of 1 s each.
///
/// That makes 7 s. Linux's defaults, 30 s, 5 s and 3 × 1 s, make 53 s.
const NEIGHBOURS: &str = "for neighbours in /proc/sys/net/ipv[46]/neigh/eth1; do
    echo 2000 >$neighbours/base_reachable_time_ms
    echo 1    >$neighbours/delay_first_probe_time
    echo 3    >$neighbours/ucast_solicit
    echo 1000 >$neighbours/retrans_time_ms
done";

/// How long the neighbours may take to notice a dead router: the 7 s of [`NEIGHBOURS`], and much more for a host that is busy
/// emulating.
const NOTICED: Duration = Duration::from_secs(60);

/// nftables rules that count the connections that a router forwards, by their first packets.
const COUNTERS: &str = "table inet flows {
    counter ipv4 {}
    counter ipv6 {}
    chain forward {
        type filter hook forward priority filter
        tcp flags & (syn | ack) == syn meta nfproto ipv4 counter name ipv4
        tcp flags & (syn | ack) == syn meta nfproto ipv6 counter name ipv6
    }
}";

#[tokio::test]
async fn flows_leave_a_dead_router_for_the_other_one() -> Result<()> {
    let builder = Cluster::builder().backend(UserBackend::default()).nodes(1).routers(2).testers(1);
    let cluster = Cluster::start(builder).await?;
    let (server, client) = (cluster.node(1)?, cluster.node(221)?);
    let routers = [cluster.node(201)?, cluster.node(202)?];
    for router in &routers {
        router.exec(Command::new("nft").args(["-f", "-"]).stdin(COUNTERS)).await?.ok()?;
    }
    for host in [&server, &client] {
        host.exec(NEIGHBOURS).await?.ok()?;
    }
    server.exec("mkdir /srv && echo hello >/srv/index.html").await?.ok()?;
    server.exec(on_ports("httpd -h /srv -p $port")).await?.ok()?;
    let addressing = cluster.plan().addressing.clone();
    let on_net = |net, node: &Node| -> [IpAddr; 2] {
        [addressing.ipv4(net, node.id()).into(), addressing.ipv6(net, node.id()).into()]
    };
    let targets = on_net(NetId::CLUSTER, &server);

    // Both routers are alive, and both carry flows.
    for target in targets {
        assert_eq!(connect(&client, target).await?, PORTS.len(), "to {target}");
        let carried = [carried(&routers[0], target).await?, carried(&routers[1], target).await?];
        eprintln!("{target}: {carried:?} flows over the two routers");
        assert!(carried.iter().all(|flows| *flows > 0), "to {target}: {carried:?}");
    }

    // One router dies without a message to anybody. Its neighbours notice, since they go on sending to it.
    let mut events = cluster.events();
    let noticed = [
        Watch::begin(&client, on_net(NetId::EXTERNAL, &routers[0])).await?,
        Watch::begin(&server, on_net(NetId::CLUSTER, &routers[0])).await?,
    ];
    routers[0].qmp("quit", serde_json::Value::Null).await?;
    while !matches!(events.next().await.ok_or("the cluster has ended")?, Event::Exited { .. }) {}
    let traffic = client.spawn(Command::shell(talk(targets)).no_timeout()).await?;
    let died = Instant::now();
    for watch in noticed {
        tokio::time::timeout(NOTICED, watch.given_up()).await??;
    }
    eprintln!("the dead router is given up after {:.1?}", died.elapsed());
    drop(traffic);

    // Every flow takes the other router, and none is lost.
    for target in targets {
        carried(&routers[1], target).await?;
        assert_eq!(connect(&client, target).await?, PORTS.len(), "to {target} with one router");
        assert!(carried(&routers[1], target).await? >= PORTS.len(), "to {target} with one router");
    }
    Ok(())
}

/// Fetches a page from every port, each over a new connection, and returns how many pages arrived.
///
/// Each port has three tries. Linux probes a dead IPv6 neighbour again from time to time, and uses the path while it waits for
/// an answer: a connection that begins then is lost. On a path that stays dead all three tries fail, since the port decides
/// the path.
async fn connect(client: &Node, target: IpAddr) -> Result<usize> {
    let tries = format!("for try in 1 2 3; do {} && break; done", fetch_one(target, 10));
    let fetched = client.exec(on_ports(&tries)).await?;
    Ok(fetched.text().lines().filter(|line| *line == "hello").count())
}

/// A shell script that fetches from all targets for ever, whether pages arrive or not.
fn talk(targets: [IpAddr; 2]) -> String {
    let each = targets.map(|target| format!("while :; do\n{}\ndone >/dev/null 2>&1 &", fetch(target, 1)));
    format!("{}\n{}\nwait", each[0], each[1])
}

fn fetch(target: IpAddr, seconds: u8) -> String {
    on_ports(&fetch_one(target, seconds))
}

/// A line of shell that fetches a page from port `$port`.
fn fetch_one(target: IpAddr, seconds: u8) -> String {
    let host = if target.is_ipv6() { format!("[{target}]") } else { target.to_string() };
    format!("timeout {seconds} wget -q -O - http://{host}:$port/")
}

/// A line of shell for every port, `$port` in it.
fn on_ports(line: &str) -> String {
    format!("for port in $(seq {} {}); do {line}; done", PORTS.start(), PORTS.end())
}

/// How many connections of the target's IP version the router has forwarded since the last call.
async fn carried(router: &Node, target: IpAddr) -> Result<usize> {
    let version = if target.is_ipv4() { "ipv4" } else { "ipv6" };
    let counter = router.exec(format!("nft reset counter inet flows {version}")).await?.ok()?;
    let packets = counter.text().split_whitespace().skip_while(|arg| *arg != "packets").nth(1).map(str::parse);
    Ok(packets.ok_or("nft shows no counter")??)
}

/// Waits until a node's kernel has given its neighbours up.
struct Watch {
    monitor: Execution,
    neighbours: Vec<String>,
}

impl Watch {
    async fn begin(node: &Node, neighbours: [IpAddr; 2]) -> Result<Self> {
        let monitor = node.spawn(Command::new("ip").args(["monitor", "neigh"]).no_timeout()).await?;
        Ok(Self { monitor, neighbours: neighbours.map(|address| format!("{address} ")).into() })
    }

    /// Waits until the node has given all of them up.
    async fn given_up(mut self) -> Result<()> {
        let mut text = String::new();
        while !self.neighbours.is_empty() {
            match self.monitor.next().await?.ok_or("the monitor has ended")? {
                exec::Event::Stdout(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                exec::Event::Stderr(bytes) => return Err(String::from_utf8_lossy(&bytes).into()),
                other => return Err(format!("the monitor has ended: {other:?}").into()),
            }
            while let Some((line, rest)) = text.split_once('\n') {
                if line.trim_end().ends_with("FAILED") {
                    self.neighbours.retain(|neighbour| !line.starts_with(neighbour.as_str()));
                }
                text = rest.to_owned();
            }
        }
        Ok(())
    }
}
