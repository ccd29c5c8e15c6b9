//! `docs/writing-a-backend.md`: every file that its reader writes is a file of this repository, which is built and tested.

use crate::{page, read};

/// Where the part of a manifest begins that only this repository needs.
const OURS: &str = "\n# Of this repository.\n";
/// Where the part begins that a plugin adds.
const LATER: &str = "\n# As a plugin.\n";

#[test]
fn the_files_of_the_guide_are_those_that_are_tested() {
    page::check("docs/writing-a-backend.md", |name| {
        let (path, later) = name.split_once(" later").map_or((name, false), |(path, _)| (path, true));
        let language = match path.rsplit_once('.') {
            Some((_, "rs")) => "rust",
            Some((_, extension)) => extension,
            None => "",
        };
        format!("```{language}\n{}```", as_elsewhere(path, later))
    });
}

/// A file as it is in a folder beside this repository, or the part that is added to it later.
fn as_elsewhere(path: &str, later: bool) -> String {
    let text = read(path);
    let text = text.split_once(OURS).map_or(text.as_str(), |(theirs, _)| theirs);
    let (first, second) = text.split_once(LATER).unwrap_or((text, ""));
    let text = if later { second } else { first };
    // The paths as the reader's folder has them.
    text.replace("../../", "../xcluster/").replace("examples/net-setup.sh", "./net-setup.sh")
}

/// The page has no other code but the commands that the reader types.
#[test]
fn nothing_else_is_code() {
    let page = read("docs/writing-a-backend.md");
    let mut made = false;
    let mut open = false;
    for (number, line) in (1..).zip(page.lines()) {
        made = line.starts_with("<!-- begin ") || made && !line.starts_with("<!-- end");
        if line.starts_with("```") {
            open = !open;
            assert!(made || !open || line == "```sh", "line {number}: a code block that is not compared with a file");
        }
    }
}
