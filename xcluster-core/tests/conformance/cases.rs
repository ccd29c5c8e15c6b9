//! The breaches, each with the contract cases that fail on it and why.

use xcluster_core::testing::conformance::ContractCase;

/// The one way in which a backend breaches the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breach {
    None,
    OtherArgs,
    Duplicates,
    ForgetsTheFirst,
    AbsentIsAnError,
    NeedsState,
    TouchesOthers,
    TakesUsedNet,
    Overwrites,
    OneAtATime,
    LeavesDebris,
    LeavesWhatIsTooMuch,
    UnknownArg,
    NoDevice,
    ColdDevice,
    Forgets,
    NoHost,
    HearsThough,
    LosesSome,
    LosesAFrame,
    JoinsNoPorts,
    CalledASwitch,
    TooMuchMtu,
    OneClusterForAll,
    OneNetForAll,
    /// None: it promises two ports for each net, and refuses a third.
    PointToPoint,
    /// None: it promises less than every frame, and loses every second one to everyone.
    Lossy,
}

/// Whether clusters share a network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Each cluster has its own.
    Own,
    /// All clusters share one, so that a net belongs to one cluster at a time.
    Shared,
}

/// A breach of the contract.
pub(crate) struct Case {
    /// The name of the test that the breach is noticed.
    pub(crate) test: &'static str,
    pub(crate) place: Place,
    pub(crate) breach: Breach,
    /// The contract cases that fail.
    pub(crate) fails: &'static [ContractCase],
    /// A part of the first one's failure.
    pub(crate) reason: &'static str,
}

const fn case(test: &'static str, breach: Breach, fails: &'static [ContractCase], reason: &'static str) -> Case {
    Case { test, place: Place::Own, breach, fails, reason }
}

pub(crate) const CASES: &[Case] = &[
    case(
        "a_repeated_setup_that_returns_other_args_is_noticed",
        Breach::OtherArgs,
        &[ContractCase::RepeatedSetup],
        "vm-001 on net 1: first `-netdev",
    ),
    case(
        "a_repeated_setup_that_makes_something_new_is_noticed",
        Breach::Duplicates,
        &[ContractCase::RepeatedSetup],
        "is new",
    ),
    case(
        "a_preflight_that_forgets_earlier_ports_is_noticed",
        Breach::ForgetsTheFirst,
        &[ContractCase::AddedPorts],
        "in a repeated call after that: unknown port",
    ),
    case(
        "a_teardown_that_fails_on_what_is_absent_is_noticed",
        Breach::AbsentIsAnError,
        &[ContractCase::TeardownOfAbsent],
        "a second time: cannot remove",
    ),
    case(
        "a_durable_backend_that_needs_its_state_is_noticed",
        Breach::NeedsState,
        &[ContractCase::TeardownByAnother],
        "after the teardown by another process: file",
    ),
    case(
        "a_backend_that_removes_objects_of_others_is_noticed",
        Breach::TouchesOthers,
        &[ContractCase::BesideAnotherCluster],
        "after another cluster has started and ended: file",
    ),
    Case {
        test: "two_clusters_on_one_net_are_noticed",
        place: Place::Shared,
        breach: Breach::TakesUsedNet,
        fails: &[ContractCase::WhereAnotherClusterIs],
        reason: "expected `InUse` for the nets of another cluster, got: no error",
    },
    case(
        "a_backend_that_overwrites_a_foreign_object_is_noticed",
        Breach::Overwrites,
        &[ContractCase::WithForeignObject],
        "is not as it was",
    ),
    case(
        "a_backend_that_takes_one_node_at_a_time_is_noticed",
        Breach::OneAtATime,
        &[ContractCase::SetupsAtOnce],
        "busy",
    ),
    case(
        "a_failed_setup_that_leaves_something_is_noticed",
        Breach::LeavesDebris,
        &[ContractCase::SetupTooEarly],
        "after a failed setup and its teardown: file",
    ),
    case(
        "a_refused_setup_that_leaves_something_is_noticed",
        Breach::LeavesWhatIsTooMuch,
        &[ContractCase::SetupOfTooMuch],
        "after a failed setup and its teardown: file",
    ),
    case(
        "args_that_qemu_does_not_know_are_noticed",
        Breach::UnknownArg,
        &[ContractCase::ArgsAtTheStart, ContractCase::ArgsWhileItRuns],
        "QEMU ended: ",
    ),
    case(
        "a_nic_that_is_missing_is_noticed",
        Breach::NoDevice,
        &[ContractCase::ArgsAtTheStart],
        "vm-201 on net 1: `-netdev",
    ),
    case(
        "a_nic_that_cannot_be_plugged_is_noticed",
        Breach::ColdDevice,
        &[ContractCase::ArgsWhileItRuns],
        "does not support hotplugging",
    ),
    case("a_net_that_leaves_something_is_noticed", Breach::Forgets, &[ContractCase::AsBefore], "is new"),
    case(
        "a_host_that_cannot_be_reached_is_noticed",
        Breach::NoHost,
        &[ContractCase::HostAccess],
        "from the host to port 23: port 23 has no address",
    ),
    case(
        "nodes_that_hear_each_other_are_noticed",
        Breach::HearsThough,
        &[ContractCase::NodesApart],
        "a node hears another one",
    ),
    case(
        "a_net_that_loses_some_frames_is_noticed",
        Breach::LosesSome,
        &[ContractCase::NodesTogether],
        "1500001 bytes by TCP to [1000::1:c0a8:",
    ),
    case(
        "a_net_that_joins_no_ports_is_noticed",
        Breach::JoinsNoPorts,
        &[
            ContractCase::NodesTogether,
            ContractCase::Echo,
            ContractCase::EveryFrame,
            ContractCase::LargestMtu,
            ContractCase::ClustersApart,
            ContractCase::NetsApart,
        ],
        "64 bytes by UDP",
    ),
    case(
        "a_hub_that_is_called_a_switch_is_noticed",
        Breach::CalledASwitch,
        &[ContractCase::Echo],
        "the net is promised to be no hub",
    ),
    case(
        "a_net_that_loses_a_frame_is_noticed",
        Breach::LosesAFrame,
        &[ContractCase::EveryFrame],
        "single frame 7 of 20 is lost",
    ),
    case(
        "an_mtu_that_is_not_carried_is_noticed",
        Breach::TooMuchMtu,
        &[ContractCase::LargestMtu],
        "65507 bytes by UDP",
    ),
    case(
        "clusters_that_hear_each_other_are_noticed",
        Breach::OneClusterForAll,
        &[ContractCase::ClustersApart],
        "another cluster hears this one",
    ),
    case(
        "nets_that_hear_each_other_are_noticed",
        Breach::OneNetForAll,
        &[ContractCase::NetsApart],
        "net 2 hears net 1",
    ),
];
