//! `docs/writing-a-backend.md`: every file that its reader makes is one of this repository, which is built and tested.

use crate::{page, read};

/// Where the part of a manifest begins that is of no use elsewhere.
const OURS: &str = "\n# Of this repository.\n";

#[test]
fn the_files_of_the_guide_are_those_that_are_tested() {
    page::check("docs/writing-a-backend.md", |path| {
        let language = match path.rsplit_once('.') {
            Some((_, "rs")) => "rust",
            Some((_, extension)) => extension,
            None => "",
        };
        format!("```{language}\n{}```", as_elsewhere(path))
    });
}

/// A file as it is in a folder beside this repository.
fn as_elsewhere(path: &str) -> String {
    let text = read(path);
    let text = text.split_once(OURS).map_or(text.as_str(), |(theirs, _)| theirs);
    text.replace("../../", "../xcluster/")
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
