//! The uplink of a private namespace: `pasta` (package passt) forwards its traffic through sockets of the host, so no
//! privilege is needed. Knows nothing of the nets behind it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::libc::O_NONBLOCK;
use nix::sys::stat::Mode;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::time::timeout;

use super::Namespace;
use super::namespace::{IsolatedNet, NamespaceEntry};

use crate::error_chain;

/// The program, and the command that installs it.
const PASTA: &str = "pasta";
const INSTALL_PASTA: &str = "sudo apt-get install --no-install-recommends passt";

/// The name of the link in the namespace.
const LINK: &str = "uplink";

/// The address of the link and of its gateway, far from those of nets and of `nsadd`. Only the namespace and `pasta` see
/// them.
const ADDRESSES: [&str; 8] = ["-a", "172.30.255.2", "-n", "30", "-g", "172.30.255.1", "-m", "65520"];
const ADDRESSES_6: [&str; 4] = ["-a", "fd00:1723:ffff::2", "-g", "fd00:1723:ffff::1"];

/// No port of the host is forwarded into the namespace, and none of the namespace to the host's loopback.
const CLOSED: [&str; 9] = ["-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw"];

/// How long the start may take: some system calls, on a busy host.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Makes the namespace a router: packets that leave by the link get the link's address.
const ROUTER: &str = "echo 1 >/proc/sys/net/ipv4/ip_forward && \
    { [ ! -e /proc/sys/net/ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; } && exec nft -f -";
const RULES: &str = "table inet xcluster_uplink {
	chain postrouting {
		type nat hook postrouting priority srcnat;
		oifname \"uplink\" masquerade
	}
}
";

/// Why there is no uplink.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum UplinkError {
    /// A program is not installed.
    #[error("there is no program `{program}`")]
    Missing {
        /// Its name.
        program: &'static str,
        /// The command that installs it.
        remedy: &'static str,
    },
    /// A program ended with an error.
    #[error("`{program}` says: {said}")]
    Failed {
        /// Its name.
        program: &'static str,
        /// The end of its standard error.
        said: String,
    },
    /// The start took too long.
    #[error("`pasta` is not ready within {} s", TIMEOUT.as_secs())]
    Late,
    /// A system call failed.
    #[error("cannot {action}")]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

error_chain::readable_debug!(UplinkError);

impl UplinkError {
    /// The command that helps, if one is known.
    pub const fn remedy(&self) -> Option<&str> {
        match self {
            Self::Missing { remedy, .. } => Some(remedy),
            _ => None,
        }
    }
}

/// An uplink. Dropping it closes it.
#[derive(Debug)]
pub struct Uplink {
    pasta: Child,
}

impl Uplink {
    /// Gives an uplink to a namespace other than our own. `dir` is a private folder. The uplink ends with the calling
    /// *thread*, which must be in a tokio runtime.
    ///
    /// # Errors
    /// A program is missing, or fails.
    pub async fn open(namespace: &Namespace, dir: &Path) -> Result<Self, UplinkError> {
        let inside = || namespace.inside().and_then(|inside| inside.ok_or_else(|| io::ErrorKind::Unsupported.into()));
        let inside = || inside().map_err(io_error("give a way out to the namespace that we are in"));
        let pasta = pasta(inside()?, dir).await?;
        route(inside()?).await?;
        Ok(Self { pasta })
    }

    /// Closes it and waits until its processes are gone.
    pub async fn close(mut self) {
        // It fails if the process has ended already.
        let _ = self.pasta.kill().await;
    }

    /// Waits for the unwanted end of the process.
    ///
    /// # Errors
    /// The system does not report the end.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.pasta.wait().await
    }
}

/// Starts pasta, and waits until it has configured the link: then it writes its process ID.
async fn pasta(inside: NamespaceEntry, dir: &Path) -> Result<Child, UplinkError> {
    let fifo = dir.join("pasta.pid");
    let mut written = fifo_at(&fifo).map_err(io_error("make a fifo"))?;
    let mut command = Command::new(PASTA);
    command.args(["--foreground", "--config-net", "--no-netns-quit", "--netns-only", "-I", LINK]).arg("-P").arg(&fifo);
    command.args(ADDRESSES).args(ADDRESSES_6).args(CLOSED);
    // Some versions of pasta close inherited descriptors, so it gets the namespace as a file.
    let netns = dir.join("pasta.netns");
    std::fs::File::create_new(&netns).map_err(io_error("make a file"))?;
    command.arg("--netns").arg(&netns).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    inside.isolate(&mut command, IsolatedNet::ShownAt(&netns)).map_err(io_error("contain a program"))?;
    let mut child = spawn(command, PASTA, INSTALL_PASTA)?;
    let mut stderr = child.stderr.take();
    let ready = async {
        let mut number = [0; 16];
        tokio::select! {
            read = written.read(&mut number) => read.map(drop).map_err(io_error("read a fifo")),
            _ = child.wait() => Err(failed(PASTA, &mut stderr).await),
        }
    };
    let outcome = timeout(TIMEOUT, ready).await.unwrap_or(Err(UplinkError::Late));
    // It fails if something has removed them already.
    let _ = [fifo, netns].map(std::fs::remove_file);
    outcome.map(|()| child)
}

fn fifo_at(path: &PathBuf) -> io::Result<pipe::Receiver> {
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    // Open for writing as well, so that a reader sees no end of the file before pasta writes.
    let file = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(path)?;
    pipe::Receiver::from_owned_fd_unchecked(file.into())
}

/// Makes the namespace forward packets and masquerade.
async fn route(inside: NamespaceEntry) -> Result<(), UplinkError> {
    let rules = || -> io::Result<std::fs::File> {
        let mut file = tempfile::tempfile()?;
        file.write_all(RULES.as_bytes())?;
        io::Seek::rewind(&mut file)?;
        Ok(file)
    };
    let mut command = Command::new("sh");
    command.args(["-c", ROUTER]).stdout(Stdio::null()).stderr(Stdio::piped());
    command.stdin(rules().map_err(io_error("write rules"))?);
    inside.enter(&mut command);
    let child = spawn(command, "sh", "sudo apt-get install dash")?;
    let output = timeout(TIMEOUT, child.wait_with_output()).await.map_err(|_| UplinkError::Late)?;
    let output = output.map_err(io_error("wait for `nft`"))?;
    match output.status.code() {
        Some(0) => Ok(()),
        Some(127) => Err(UplinkError::Missing {
            program: "nft",
            remedy: "sudo apt-get install --no-install-recommends nftables",
        }),
        _ => Err(UplinkError::Failed { program: "nft", said: last_line(&output.stderr) }),
    }
}

fn spawn(mut command: Command, program: &'static str, remedy: &'static str) -> Result<Child, UplinkError> {
    // An ordinary user's `PATH` may lack the folders of system programs.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let folders = folders.chain(["/usr/bin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    command.env("PATH", std::env::join_paths(folders).unwrap_or(path));
    let child = tokio::process::Command::from(command).kill_on_drop(true).spawn();
    child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => UplinkError::Missing { program, remedy },
        _ => UplinkError::Io { action: "start a program in a namespace", source: error },
    })
}

async fn failed(program: &'static str, stderr: &mut Option<tokio::process::ChildStderr>) -> UplinkError {
    let mut said = Vec::new();
    if let Some(stderr) = stderr {
        // The error shows as much as was read.
        let _ = timeout(Duration::from_secs(1), stderr.take(64 * 1024).read_to_end(&mut said)).await;
    }
    UplinkError::Failed { program, said: last_line(&said) }
}

fn last_line(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").trim().to_owned()
}

fn io_error(action: &'static str) -> impl Fn(io::Error) -> UplinkError {
    move |source| UplinkError::Io { action, source }
}
