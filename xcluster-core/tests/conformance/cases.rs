//! The breaches, each with what it fails and why. Runs nothing.

use xcluster_core::testing::conformance::ContractCase;

/// The place where the contract is breached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breach {
    None,
    OtherWords,
    Duplicates,
    ForgetsTheFirst,
    AbsentIsAnError,
    NeedsMemory,
    TouchesOthers,
    TakesItAsWell,
    Overwrites,
    OneAtATime,
    LeavesDebris,
    LeavesWhatIsTooMuch,
    UnknownWord,
    NoDevice,
    ColdDevice,
    Forgets,
    NoHost,
    HearsThough,
    LosesSome,
    LosesAFrame,
    JoinsNobody,
    CalledASwitch,
    TooMuchMtu,
    OneClusterForAll,
    OneNetForAll,
    /// None: it promises two ports for each net, and refuses a third.
    PointToPoint,
    /// None: it promises less than every frame, and loses every second one to everyone.
    Lossy,
}

/// Where the nets of a cluster are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Each cluster has a place of its own.
    Own,
    /// All of a host have one, so that a net has one cluster at a time.
    Shared,
}

/// A breach of the contract.
pub(crate) struct Case {
    /// That it is noticed.
    pub(crate) test: &'static str,
    pub(crate) place: Place,
    pub(crate) breach: Breach,
    /// The parts that fail.
    pub(crate) fails: &'static [ContractCase],
    /// Words of why the first of them does.
    pub(crate) reason: &'static str,
}

const fn case(test: &'static str, breach: Breach, fails: &'static [ContractCase], reason: &'static str) -> Case {
    Case { test, place: Place::Own, breach, fails, reason }
}

pub(crate) const CASES: &[Case] = &[
    case(
        "a_repeated_setup_that_answers_other_args_is_noticed",
        Breach::OtherWords,
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
        "a_preflight_that_forgets_what_was_before_is_noticed",
        Breach::ForgetsTheFirst,
        &[ContractCase::AddedPorts],
        "asked again after that: nobody has asked for this port",
    ),
    case(
        "a_teardown_that_fails_on_what_is_absent_is_noticed",
        Breach::AbsentIsAnError,
        &[ContractCase::TeardownOfAbsent],
        "a second time: cannot remove",
    ),
    case(
        "a_durable_backend_that_needs_its_memory_is_noticed",
        Breach::NeedsMemory,
        &[ContractCase::UndoByAnother],
        "after another process has undone everything: file",
    ),
    case(
        "a_backend_that_touches_what_others_own_is_noticed",
        Breach::TouchesOthers,
        &[ContractCase::BesideAnotherCluster],
        "another cluster came and went: file",
    ),
    Case {
        test: "two_clusters_in_one_place_are_noticed",
        place: Place::Shared,
        breach: Breach::TakesItAsWell,
        fails: &[ContractCase::WhereAnotherClusterIs],
        reason: "where another cluster is, it should say so, and says: nothing at all",
    },
    case(
        "a_backend_that_takes_a_strangers_place_is_noticed",
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
        Breach::UnknownWord,
        &[ContractCase::WordsAtTheStart, ContractCase::WordsWhileItRuns],
        "QEMU ended: ",
    ),
    case(
        "a_nic_that_is_missing_is_noticed",
        Breach::NoDevice,
        &[ContractCase::WordsAtTheStart],
        "vm-201 on net 1: `-netdev",
    ),
    case(
        "a_nic_that_cannot_be_plugged_is_noticed",
        Breach::ColdDevice,
        &[ContractCase::WordsWhileItRuns],
        "does not support hotplugging",
    ),
    case("a_net_that_leaves_something_is_noticed", Breach::Forgets, &[ContractCase::AsBefore], "is new"),
    case(
        "a_host_that_cannot_be_reached_is_noticed",
        Breach::NoHost,
        &[ContractCase::HostAccess],
        "the host asks port 23: port 23 has no address",
    ),
    case(
        "nodes_that_hear_each_other_are_noticed",
        Breach::HearsThough,
        &[ContractCase::NodesApart],
        "a node hears another one",
    ),
    case(
        "a_net_that_loses_what_it_does_not_know_is_noticed",
        Breach::LosesSome,
        &[ContractCase::NodesTogether],
        "1500001 bytes by TCP to [1000::1:c0a8:",
    ),
    case(
        "a_net_that_joins_nobody_is_noticed",
        Breach::JoinsNobody,
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
        "it is said to be no hub",
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
