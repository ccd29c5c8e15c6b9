//! `nsadd`: prepares a network namespace for a user.

use std::io::{Write, stderr};

use xcluster_core::ErrorKind;
use xcluster_net_bridge::prepared::{self, NamespaceRequest, Owner, Prepared, PreparedError};

use crate::args::{NsaddArgs, PreparedArgs};
use crate::exit::Exit;
use crate::output::print_json;
use crate::report::{Failure, Outcome, printable};
use crate::variables::Variables;

/// Prepares the namespace and prints what was made.
pub(super) async fn run(args: &NsaddArgs, variables: &Variables) -> Outcome {
    let index = args.which.index;
    let owner = owner(&args.which, variables)?;
    let wanted = NamespaceRequest { index, owner, mtu: args.mtu, ipv6_prefix: args.ipv6_prefix.clone() };
    let done = prepared::prepare(&wanted).await;
    let done = done.map_err(|error| {
        failure(&error, "nsadd", &args.which).context(format!("cannot prepare network namespace {index}"))
    })?;
    // A closed standard error is ignored: the namespace is ready.
    let _ = stderr().write_all(text(&done, &args.which).as_bytes());
    if args.json.json {
        print_json(&done)?;
    }
    Ok(Exit::OK)
}

/// The user of the namespace: `--owner`, else the caller of `sudo`, else the current user.
pub(super) fn owner(which: &PreparedArgs, variables: &Variables) -> Result<Owner, Failure> {
    let caller = variables.value("SUDO_UID").and_then(|uid| uid.parse().ok());
    let owner = match (&which.owner, caller) {
        (Some(name), _) => Owner::named(name),
        (None, Some(uid)) => Owner::of_uid(uid),
        (None, None) => Owner::effective(),
    };
    owner.map_err(|error| Failure::from_error(Exit::INVALID, &error).hint("`--owner USER` names another user"))
}

/// The failure, with all commands that help.
pub(super) fn failure(error: &PreparedError, command: &str, which: &PreparedArgs) -> Failure {
    let exit = match error.kind() {
        ErrorKind::Invalid => Exit::INVALID,
        ErrorKind::Host => Exit::HOST,
        ErrorKind::InUse => Exit::IN_USE,
        _ => Exit::FAILURE,
    };
    let failure = Failure::from_error(exit, error);
    if matches!(error, PreparedError::NotRoot) {
        let owner = which.owner.as_ref().map(|owner| format!(" --owner {owner}")).unwrap_or_default();
        return failure.hint(format!("`sudo xcluster {command} {}{owner}`", which.index));
    }
    let remedies: Vec<String> = error.remedies().iter().map(|remedy| format!("`{remedy}`")).collect();
    if remedies.is_empty() { failure } else { failure.hint(remedies.join(", ")) }
}

fn text(done: &Prepared, which: &PreparedArgs) -> String {
    let (name, index) = (&done.name, which.index);
    let what = if done.made.is_empty() {
        format!("`{name}` already exists\n")
    } else {
        let made: String = done.made.iter().map(|made| format!("  {made}\n")).collect();
        format!("made:\n{made}")
    };
    let notes = done.notes.iter().map(|note| format!("note: {}\n", printable(note).trim_end()));
    let use_it =
        format!("`xcluster start --netns {index}` starts a cluster in it, `xcluster nsenter {index}` opens a shell\n");
    what + &notes.collect::<String>() + &use_it
}
