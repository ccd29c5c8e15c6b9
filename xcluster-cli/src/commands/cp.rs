//! `cp`: copies a file into a node or out of it.

use std::io::{self, Write, stdin};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use xcluster_core::Node;
use xcluster_core::name::NodeId;

use super::select::{attach, one};
use crate::args::CpArgs;
use crate::exit::Exit;
use crate::output;
use crate::report::{Failure, Outcome};
use crate::variables::Variables;

/// Copies the file completely or not at all.
pub(super) async fn run(args: &CpArgs, variables: &Variables) -> Outcome {
    let copy = Copy::new(&args.source, &args.destination)?;
    let cluster = attach(&args.name, variables).await?;
    let node = cluster.node(one(&copy.node.to_string(), &cluster.status().await?)?.id)?;
    match (copy.direction, copy.here) {
        (Direction::In, Some(file)) => put(&node, &file, &copy.there).await?,
        (Direction::In, None) => spool(&node, &copy.there).await?,
        (Direction::Out, Some(file)) => get(&node, &copy.there, &file).await?,
        (Direction::Out, None) => print(&node, &copy.there).await?,
    }
    Ok(Exit::OK)
}

/// Source and destination of a copy.
#[derive(Debug, PartialEq, Eq)]
struct Copy {
    direction: Direction,
    node: NodeId,
    /// The file in the node.
    there: PathBuf,
    /// The local file; none means standard input or output.
    here: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

impl Copy {
    fn new(source: &str, destination: &str) -> Result<Self, Failure> {
        let (direction, (node, there), here) = match (remote(source), remote(destination)) {
            (None, Some(target)) => (Direction::In, target, source),
            (Some(target), None) => (Direction::Out, target, destination),
            (Some(_), Some(_)) => {
                let hint = format!("`xcluster cp {source} - | xcluster cp - {destination}`");
                return Err(Failure::new(Exit::USAGE, "both sides are in nodes").hint(hint));
            }
            (None, None) => {
                let message = format!("neither `{source}` nor `{destination}` is in a node");
                return Err(Failure::new(Exit::USAGE, message)
                    .hint("write a file in a node as `NODE:PATH`, for example `2:/etc/hosts`"));
            }
        };
        Ok(Self { direction, node, there, here: (here != "-").then(|| PathBuf::from(here)) })
    }
}

/// A file in a node: `2:/etc/hosts` or `vm-002:/etc/hosts`. Everything else is a local file, such as `./2:x`.
fn remote(text: &str) -> Option<(NodeId, PathBuf)> {
    let (node, path) = text.split_once(':')?;
    let path = if path.is_empty() { "/root/" } else { path };
    Some((node.parse().ok()?, PathBuf::from(path)))
}

async fn put(node: &Node, from: &Path, to: &Path) -> Result<(), Failure> {
    // The owner reads the file. A missing local file must not be reported as an error of the node.
    let found = std::fs::metadata(from);
    let found = found.map_err(|error| Failure::io(format!("read `{}`", from.display()), &error))?;
    if found.is_dir() {
        let hint = format!("`tar -c -C {} . | xcluster exec {} -- tar -x -C DIR`", from.display(), node.id().number());
        return Err(Failure::new(Exit::FAILURE, format!("`{}` is a folder", from.display())).hint(hint));
    }
    node.copy_to(from, to).await?;
    Ok(())
}

async fn get(node: &Node, from: &Path, to: &Path) -> Result<(), Failure> {
    node.copy_from(from, to).await?;
    Ok(())
}

/// Copies standard input into a node. It is kept in a temporary file until its end, so that the node never has a part of it.
async fn spool(node: &Node, to: &Path) -> Result<(), Failure> {
    if to.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(Failure::new(Exit::USAGE, "a copy of standard input needs a file name in the node"));
    }
    let spooled = || -> io::Result<NamedTempFile> {
        let mut file = NamedTempFile::new()?;
        io::copy(&mut stdin().lock(), &mut file)?;
        file.flush()?;
        Ok(file)
    };
    let file = spooled().map_err(|error| Failure::io("keep standard input in a temporary file", &error))?;
    put(node, file.path(), to).await
}

/// Prints a file of the node on standard output after all of it has arrived.
async fn print(node: &Node, from: &Path) -> Result<(), Failure> {
    let kept = |error: io::Error| Failure::io("keep the file in a temporary file", &error);
    let folder = tempfile::tempdir().map_err(kept)?;
    let path = folder.path().join("file");
    get(node, from, &path).await?;
    let mut file = std::fs::File::open(&path).map_err(kept)?;
    io::copy(&mut file, &mut io::stdout().lock()).map_err(|error| output::failed(&error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_before_the_colon_on_one_side() {
        let node = |number| NodeId::new(number).unwrap();
        let check = |source: &str, destination: &str, direction, number, there: &str, here: Option<&str>| {
            let copy = Copy { direction, node: node(number), there: there.into(), here: here.map(PathBuf::from) };
            assert_eq!(Copy::new(source, destination), Ok(copy), "{source} {destination}");
        };
        check("2:/etc/hosts", ".", Direction::Out, 2, "/etc/hosts", Some("."));
        check("./2:x", "vm-201:a:b", Direction::In, 201, "a:b", Some("./2:x"));
        check("c:x", "2:", Direction::In, 2, "/root/", Some("c:x"));
        check("-", "2:/x", Direction::In, 2, "/x", None);
        check("2:/x", "-", Direction::Out, 2, "/x", None);
    }

    #[test]
    fn one_side_must_be_in_a_node_and_the_other_local() {
        assert!(Copy::new("a", "b").is_err());
        assert!(Copy::new("1:a", "2:b").is_err());
        assert!(Copy::new("250:a", "-").is_err());
    }
}
