//! The default topology with few nodes and large packets. Its expectations are in the other files.

use xcluster_core::topology::Topology;

use crate::harness::{builder, expectations, is_possible, links, scenario};
use crate::{end, frames, host, nets};

#[tokio::test(flavor = "multi_thread")]
async fn the_default_cluster_does_what_is_expected() {
    if !is_possible() {
        return;
    }
    let before = links();
    let mut topology = Topology::default();
    topology.mtu = 9000;
    scenario(builder().topology(topology).nodes(2).routers(1).testers(1), async |cluster| {
        expectations!(cluster;
            nets::nodes_and_testers_reach_each_other_over_the_router,
            frames::tagged_frames_arrive_with_their_tag,
            host::programs_in_the_namespace_see_the_bridges,
            host::nothing_is_known_outside,
            end::the_end_of_a_qemu_is_reported_and_the_others_go_on,
        );
        assert_eq!(links(), before, "a link came into the main namespace");
    })
    .await;
    assert_eq!(links(), before, "a link was left in the main namespace");
}
