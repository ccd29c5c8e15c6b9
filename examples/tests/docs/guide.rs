//! `docs/writing-a-backend.md`: every file that its reader makes is one of this repository, which is built and tested.

use crate::{page, read};

/// Where the part of a manifest begins that is of no use elsewhere.
const OURS: &str = "\n# Of this repository.\n";
/// Where the part begins that is added once there is a plugin.
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

/// A file as it is in a folder beside this repository, or what is added to it later.
fn as_elsewhere(path: &str, later: bool) -> String {
    let text = read(path);
    let text = text.split_once(OURS).map_or(text.as_str(), |(theirs, _)| theirs);
    let (first, second) = text.split_once(LATER).unwrap_or((text, ""));
    let text = if later { second } else { first };
    // What its reader types is on the page.
    text.replace("../../", "../xcluster/").replace("examples/net-setup.sh", "./net-setup.sh")
}

/// What the reader types is the only thing that stands on the page alone.
#[test]
fn nothing_else_is_code() {
    let page = read("docs/writing-a-backend.md");
    let mut made = false;
    let mut open = false;
    for (number, line) in (1..).zip(page.lines()) {
        made = line.starts_with("<!-- begin ") || made && !line.starts_with("<!-- end");
        if line.starts_with("```") {
            open = !open;
            assert!(made || !open || line == "```sh", "line {number}: a block that no file is compared with");
        }
    }
}
