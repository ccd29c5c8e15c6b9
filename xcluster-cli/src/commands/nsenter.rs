//! `nsenter`: runs a shell or a program in the network namespace of a running cluster, or in a prepared one.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use xcluster_core::host::namespace::{NamedNetns, Namespace, NamespaceEntry, NamespaceError, Netns};
use xcluster_core::name::ClusterName;
use xcluster_core::{Error, cluster};

use crate::args::NsenterArgs;
use crate::exit::Exit;
use crate::hook;
use crate::report::{Failure, Outcome};
use crate::settings::of_caller;

/// The default program.
const SHELL: &str = "/bin/sh";

/// The variable that sets the default of `--netns` for clusters started inside.
const NETNS: (&str, &str) = ("XCLUSTER_NETNS", "here");

/// Replaces this process by the program, so that exit code and signals are the program's. In a namespace of the caller it has all
/// privileges and the caller's user id.
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
    Err(Failure::io(format!("run `{}` in the network namespace", program_args[0].to_string_lossy()), &error)
        .with_exit(exit))
}

const EACCES: i32 = nix::errno::Errno::EACCES as i32;
const ENOEXEC: i32 = nix::errno::Errno::ENOEXEC as i32;

fn program_args(typed: &[OsString]) -> Vec<OsString> {
    let shell = || std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| SHELL.into());
    if typed.is_empty() { vec![shell()] } else { typed.to_vec() }
}

/// The entry of a namespace: by the caller's number, by a running cluster, or by its name.
async fn find(place: &str) -> Result<NamespaceEntry, Failure> {
    if let Ok(number) = place.parse::<u8>() {
        let name = of_caller(number).map_err(|why| Failure::new(Exit::ABSENT, why))?;
        return prepared(name);
    }
    if let Ok(name) = ClusterName::new(place) {
        // Not by a handle: this process enters the namespace itself, and must have no second thread then.
        match cluster::namespace_of(&name).await {
            Ok(namespace) => {
                let message = format!("cluster `{name}` has no network namespace");
                let hint = "`xcluster start --net bridge --netns private` gives it one";
                return namespace.ok_or_else(|| Failure::new(Exit::FAILURE, message).hint(hint));
            }
            Err(Error::Folder(_) | Error::NotRunning(_) | Error::LostFolder { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let name = NamedNetns::new(place).map_err(|error| Failure::from_error(Exit::ABSENT, &error))?;
    prepared(name).map_err(|failure| match failure.exit {
        Exit::ABSENT => Failure::new(Exit::ABSENT, format!("no cluster and no network namespace is called `{place}`"))
            .hint("`xcluster status --all` lists clusters, `ip netns` lists namespaces"),
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
    inside.ok_or_else(|| Failure::new(Exit::FAILURE, "this process is already in the network namespace"))
}
