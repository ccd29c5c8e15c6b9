//! A page with generated parts: each is between `<!-- begin NAME -->` and `<!-- end -->`.

use std::fs;

use crate::{at, read};

/// If this variable is set, the pages are written instead of compared.
const BLESS: &str = "XCLUSTER_BLESS";

/// Compares the generated parts of a page with what `make` returns for their names. Panics if they differ.
pub(crate) fn check(path: &str, make: impl Fn(&str) -> String) {
    let page = read(path);
    let made = rewrite(&page, make);
    if std::env::var_os(BLESS).is_some() {
        return fs::write(at(path), made).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let different = page.lines().zip(made.lines()).position(|(is, should)| is != should);
    let line = different.unwrap_or_else(|| page.lines().count().min(made.lines().count())) + 1;
    assert!(page == made, "{path} is out of date from line {line} on: run this test with {BLESS}=1 to write it");
}

fn rewrite(page: &str, make: impl Fn(&str) -> String) -> String {
    let mut made = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("<!-- begin ") {
        let (name, after) = after.split_once(" -->\n").expect("a beginning has a name");
        let (_, after) = after.split_once("<!-- end -->").unwrap_or_else(|| panic!("`{name}` has no end"));
        made.push_str(&format!("{before}<!-- begin {name} -->\n{}\n<!-- end -->", make(name).trim_end()));
        rest = after;
    }
    made + rest
}

#[test]
fn what_is_between_the_marks_is_replaced_and_nothing_else() {
    let page = "a\n<!-- begin x -->\nold\nolder\n<!-- end -->\nb\n<!-- begin y -->\n<!-- end -->";
    let made = rewrite(page, |name| format!("new {name}\n"));
    assert_eq!(made, "a\n<!-- begin x -->\nnew x\n<!-- end -->\nb\n<!-- begin y -->\nnew y\n<!-- end -->");
}
