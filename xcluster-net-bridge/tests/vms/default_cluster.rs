//! The default topology with few nodes and large packets. What is claimed of it stands beside it, by subject.

use xcluster_core::topology::Topology;

use crate::lab::{builder, claims, is_possible, links, scenario};
use crate::{frames, host, nets};

#[tokio::test(flavor = "multi_thread")]
async fn the_default_cluster_does_what_is_claimed() {
    if !is_possible() {
        return;
    }
    let before = links();
    let mut topology = Topology::default();
    topology.mtu = 9000;
    scenario(builder().topology(topology).nodes(2).routers(1).testers(1), async |cluster| {
        claims!(cluster;
            nets::all_reach_each_other_on_every_net,
            nets::nodes_and_testers_reach_each_other_over_the_router,
            nets::megabytes_arrive_as_they_were_sent,
            frames::packets_of_the_whole_mtu_arrive_in_one_piece,
            frames::what_is_larger_is_fragmented,
            frames::tagged_frames_arrive_with_their_tag,
            host::programs_in_the_namespace_see_the_bridges,
            host::the_host_logs_in,
            host::nodes_reach_the_host_on_every_net,
            host::megabytes_of_the_host_arrive_as_they_were_sent,
            host::nothing_is_known_outside,
        );
        assert_eq!(links(), before, "a link came into the main namespace");
    })
    .await;
    assert_eq!(links(), before, "a link was left in the main namespace");
}
