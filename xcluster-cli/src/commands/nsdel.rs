//! `nsdel`: removes a prepared network namespace.

use std::io::{Write, stderr};

use xcluster_net_bridge::prepared::{self, Removed};

use super::nsadd;
use crate::args::NsdelArgs;
use crate::exit::Exit;
use crate::report::{Outcome, printable};
use crate::variables::Variables;

/// Removes the namespace and lists the processes that are still in it.
pub(super) async fn run(args: &NsdelArgs, variables: &Variables) -> Outcome {
    let index = args.which.index;
    let owner = nsadd::owner(&args.which, variables)?;
    let done = prepared::remove(index, &owner).await;
    let done = done.map_err(|error| {
        nsadd::failure(&error, "nsdel", &args.which).context(format!("cannot remove network namespace {index}"))
    })?;
    // A closed standard error is ignored: the namespace is removed.
    let _ = stderr().write_all(text(&done, &index.to_string()).as_bytes());
    Ok(Exit::OK)
}

fn text(done: &Removed, index: &str) -> String {
    let Some(name) = &done.name else { return format!("network namespace {index} does not exist\n") };
    if done.namespace_users.is_empty() {
        return format!("removed `{name}`\n");
    }
    let namespace_users: Vec<String> = done.namespace_users.iter().map(|one| printable(&one.to_string())).collect();
    format!(
        "removed `{name}`\nnote: it stays, without a name or a connection to the outside, until these processes end: {}\n",
        namespace_users.join(", ")
    )
}
