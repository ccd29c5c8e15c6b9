//! `man`: writes man pages from the same text as `--help`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::args::ManArgs;
use crate::exit::Exit;
use crate::output::print;
use crate::report::{Failure, Outcome};

/// Writes a page for `xcluster` and for each of its commands, and prints their paths.
pub(super) fn run(args: &ManArgs) -> Outcome {
    let folder = &args.folder;
    std::fs::create_dir_all(folder).map_err(|error| Failure::io(format!("make `{}`", folder.display()), &error))?;
    let mut command = crate::args::command().disable_help_subcommand(true);
    // Sets the full name of every subcommand.
    command.build();
    write(folder, command.clone())?;
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write(folder, subcommand.clone())?;
    }
    Ok(Exit::OK)
}

fn write(folder: &Path, command: clap::Command) -> Result<(), Failure> {
    let page = clap_mangen::Man::new(command);
    let path = folder.join(page.get_filename());
    // Replace the file: writing to it would follow a symbolic link of that name.
    let replace = || {
        let mut file = tempfile::Builder::new().permissions(Permissions::from_mode(0o644)).tempfile_in(folder)?;
        page.render(&mut file)?;
        file.persist(&path).map_err(|error| error.error)
    };
    replace().map_err(|error| Failure::io(format!("write `{}`", path.display()), &error))?;
    print(&format!("{}\n", path.display()))
}
