//! The default topology with few nodes, as most users have it. Its expectations are in the other files.

use tempfile::TempDir;

use crate::harness::{builder, expectations, scenario};
use crate::{commands, console, internal_net, overlays, routing};

#[tokio::test(flavor = "multi_thread")]
async fn the_default_cluster_does_what_is_expected() {
    let files = TempDir::new().unwrap();
    let builder = builder().nodes(2).routers(2).testers(1);
    let builder = overlays::sample(files.path()).into_iter().fold(builder, |builder, path| builder.overlay(path));
    scenario(builder, async |cluster| {
        expectations!(cluster;
            routing::nodes_and_testers_have_a_route_over_every_router,
            routing::nodes_and_testers_reach_each_other,
            routing::flows_are_spread_over_the_routers,
            routing::what_leaves_for_the_host_has_the_routers_address,
            internal_net::the_host_logs_in_by_telnet,
            internal_net::the_host_logs_in_by_ssh,
            internal_net::nobody_logs_in_from_another_net,
            internal_net::no_router_is_learnt,
            internal_net::nodes_do_not_reach_each_other,
            internal_net::the_host_has_a_name,
            internal_net::nobody_answers_for_a_node,
            commands::a_command_gives_its_code_and_both_outputs,
            commands::a_command_is_killed_with_all_it_started_at_its_deadline,
            commands::hundreds_of_megabytes_arrive_whole,
            commands::many_commands_run_at_once,
            commands::a_command_is_run_or_repeated_until_it_succeeds,
            commands::files_are_copied_in_and_out,
            console::a_console_is_kept_and_joined_by_several,
            console::a_monitor_does_what_it_is_told,
            overlays::overlays_of_every_form_are_unpacked,
        );
    })
    .await;
}
