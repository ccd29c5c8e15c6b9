//! `connect`: a TCP connection to a node as standard input and output, or handed over to the caller.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::thread;

use tokio::sync::oneshot;
use xcluster_core::host::fd_passing;

use super::select::{attach, one};
use crate::args::ConnectArgs;
use crate::exit::Exit;
use crate::output;
use crate::report::{Failure, Outcome};
use crate::variables::Variables;

/// Connects, and copies bytes both ways until both sides have ended.
pub(super) async fn run(args: &ConnectArgs, variables: &Variables) -> Outcome {
    let cluster = attach(&args.name, variables).await?;
    let node = one(&args.node, &cluster.status().await?)?.id;
    let stream = cluster.node(node)?.connect(args.port).await?;
    if args.fdpass {
        return hand_over(&stream);
    }
    let failed = |error: &io::Error| Failure::io(format!("exchange data with {node}"), error);
    let (typed, shown) = splice(stream).map_err(|error| failed(&error))?;
    match shown.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())) {
        Ok(()) => {}
        // A node that resets the connection has already sent its last data.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Exit::OK),
        Err(error) => return Err(output::failed(&error)),
    }
    // The node has sent everything, and may still read. At a terminal, the command ends now: the user sees that it is over.
    if !io::stdin().is_terminal() {
        drop(typed.await);
    }
    Ok(Exit::OK)
}

/// Sends the connection over standard output, which is a socket in this case (`ProxyUseFdpass` of ssh_config(5)).
fn hand_over(stream: &TcpStream) -> Outcome {
    let passed = fd_passing::send(io::stdout(), b"\0", &[stream.as_fd()]);
    passed.map_err(|error| Failure::io("hand the connection over on standard output", &error))?;
    Ok(Exit::OK)
}

type Ended = oneshot::Receiver<io::Result<()>>;

/// Copies each direction in a thread; the kernel moves the data where it can. The end of standard input is forwarded to the node,
/// and the node's end to standard output.
fn splice(stream: TcpStream) -> io::Result<(Ended, Ended)> {
    let (to, from) = (stream.try_clone()?, stream);
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let typed = in_thread(move || {
        let copied = io::copy(&mut &input, &mut &to).map(drop);
        // This fails if the node has already closed the connection.
        let _ = to.shutdown(Shutdown::Write);
        copied
    });
    let shown = in_thread(move || {
        io::copy(&mut &from, &mut &output)?;
        // This closes our last descriptor of standard output.
        nix::unistd::dup2_stdout(File::open("/dev/null")?)?;
        Ok(())
    });
    Ok((typed, shown))
}

/// Not a thread of the runtime: the runtime would wait for a standard input that never ends.
fn in_thread(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Ended {
    let (tell, ended) = oneshot::channel();
    // The receiver may be gone.
    thread::spawn(move || drop(tell.send(work())));
    ended
}
