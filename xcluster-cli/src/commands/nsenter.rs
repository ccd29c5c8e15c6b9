//! `nsenter`: a shell or a program in a network namespace: of a running cluster, or one that was prepared.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use xcluster_core::host::namespace::{NamedNetns, Namespace, NamespaceEntry, NamespaceError, Netns};
use xcluster_core::name::ClusterName;
use xcluster_core::{Error, cluster};

use super::Outcome;
use crate::args::NsenterArgs;
use crate::exit::Exit;
use crate::hook;
use crate::report::Failure;
use crate::settings::of_caller;

/// What is run where nothing is named.
const SHELL: &str = "/bin/sh";

/// Tells a start inside, and whoever asks, where it is: it is the default of `--netns`.
const NETNS: (&str, &str) = ("XCLUSTER_NETNS", "here");

/// Becomes the program, so that its exit code and everything else are its own. In a namespace of the caller's it has every
/// privilege, and is still the caller.
pub(super) async fn run(args: &NsenterArgs) -> Outcome {
    let inside = find(&args.target).await?;
    let program_args = program_args(&args.command);
    let mut command = Command::new(&program_args[0]);
    command.args(&program_args[1..]).env(NETNS.0, NETNS.1);
    hook::leave(&mut command);
    inside.enter(&mut command);
    let error = command.exec();
    let exit = match error.kind() {
        io::ErrorKind::NotFound => Exit::NOT_FOUND,
        io::ErrorKind::PermissionDenied if error.raw_os_error() == Some(EACCES) => Exit::NOT_EXECUTABLE,
        _ if error.raw_os_error() == Some(ENOEXEC) => Exit::NOT_EXECUTABLE,
        _ => Exit::HOST,
    };
    Err(Failure::io(format!("run `{}` there", program_args[0].to_string_lossy()), &error).with_exit(exit))
}

const EACCES: i32 = nix::errno::Errno::EACCES as i32;
const ENOEXEC: i32 = nix::errno::Errno::ENOEXEC as i32;

fn program_args(typed: &[OsString]) -> Vec<OsString> {
    let shell = || std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| SHELL.into());
    if typed.is_empty() { vec![shell()] } else { typed.to_vec() }
}

/// The way into what a word means: a number of the caller's, a running cluster, or a namespace by its name.
async fn find(place: &str) -> Result<NamespaceEntry, Failure> {
    if let Ok(number) = place.parse::<u8>() {
        let name = of_caller(number).map_err(|why| Failure::new(Exit::ABSENT, why))?;
        return prepared(name);
    }
    if let Ok(name) = ClusterName::new(place) {
        // Not by a handle: this process enters the namespace itself, and must have no second thread then.
        match cluster::namespace_of(&name).await {
            Ok(namespace) => {
                let message = format!("cluster `{name}` has no network namespace of its own");
                let hint = "start it with `--net bridge` and `--netns private`";
                return namespace.ok_or_else(|| Failure::new(Exit::FAILURE, message).hint(hint));
            }
            Err(Error::Folder(_) | Error::NotRunning(_) | Error::LostFolder { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let name = NamedNetns::new(place).map_err(|error| Failure::from_error(Exit::ABSENT, &error))?;
    prepared(name).map_err(|failure| match failure.exit {
        Exit::ABSENT => Failure::new(Exit::ABSENT, format!("there is no cluster and no network namespace `{place}`"))
            .hint("`xcluster status --all` shows the clusters, `ip netns` the namespaces"),
        _ => failure,
    })
}

fn prepared(name: NamedNetns) -> Result<NamespaceEntry, Failure> {
    let namespace = Namespace::open(&Netns::Named(name)).map_err(|error| {
        let exit = if matches!(error, NamespaceError::Absent(_)) { Exit::ABSENT } else { Exit::HOST };
        let hint = error.remedy().map(|remedy| format!("`{remedy}`"));
        Failure { hint, ..Failure::from_error(exit, &error) }
    })?;
    let inside = namespace.inside().map_err(|error| Failure::io("enter the network namespace", &error))?;
    inside.ok_or_else(|| Failure::new(Exit::FAILURE, "we are in this network namespace already"))
}
