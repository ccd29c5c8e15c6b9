//! The command lines on the pages of the documentation can be parsed. None of them is run.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_command_line_of_the_pages_can_be_parsed() {
    let lines: Vec<(PathBuf, String)> = pages().into_iter().flat_map(|page| typed(&page)).collect();
    assert!(lines.len() > 20, "only {} lines were found", lines.len());
    let wrong: Vec<String> = lines.iter().filter_map(|(page, line)| refused(page, line)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A rename must also change the pages for contributors.
#[test]
fn every_file_that_a_page_for_contributors_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let missing = |page: &str| -> Vec<String> {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let code = text.split('`').skip(1).step_by(2).filter(|code| !code.contains([' ', '*', '\n']));
        let paths =
            code.filter(|code| ["docs/", "examples/", "scripts/", "xcluster-"].iter().any(|top| code.starts_with(top)));
        paths.filter(|path| path.contains('/') && !root.join(path).exists()).map(str::to_owned).collect()
    };
    assert_eq!(missing("CONTRIBUTING.md"), [""; 0]);
    assert_eq!(missing("docs/releasing.md"), [""; 0]);
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    docs.filter(|path| path.extension().is_some_and(|kind| kind == "md")).chain([root.join("README.md")]).collect()
}

/// The command lines on a page that begin with `xcluster`, perhaps after a prompt or another command.
fn typed(page: &Path) -> Vec<(PathBuf, String)> {
    let text = fs::read_to_string(page).unwrap();
    let code = text.split("```").skip(1).step_by(2);
    let lines = code.flat_map(str::lines).flat_map(|line| line.strip_prefix("$ ").unwrap_or(line).split("; "));
    lines.filter(|line| line.starts_with("xcluster ")).map(|line| (page.to_owned(), line.to_owned())).collect()
}

/// The error of a command line, up to the first part that belongs to the shell.
fn refused(page: &Path, line: &str) -> Option<String> {
    let args = line.split_whitespace().take_while(|arg| !["#", "|", "&", "&&"].contains(arg) && !arg.starts_with('>'));
    let error = xcluster_cli::command().try_get_matches_from(args.map(|arg| arg.replace('\'', ""))).err()?;
    error.use_stderr().then(|| format!("{}: `{line}`: {error}", page.display()))
}
