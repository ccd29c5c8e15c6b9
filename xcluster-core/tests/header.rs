//! The header of plugins matches the interface, and C and C++ compilers accept it. `XCLUSTER_BLESS=1` writes it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cbindgen::{Builder, Config, Language, RenameRule, Style};

/// The comment at the start of the header.
const HEAD: &str = "/* The interface between xcluster and a plugin, a network backend that is loaded at run time.
 * docs/plugins.md is its author's guide. Generated from xcluster-core/src/external/plugin/abi.rs: change that. */";

/// The names of the interface in C.
const NAMES: [(&str, &str); 4] = [
    ("Text", "xcluster_text"),
    ("Buffer", "xcluster_buffer"),
    ("Host", "xcluster_host"),
    ("Plugin", "xcluster_plugin"),
];

/// Prefixes of its constants.
const CONSTANTS: [(&str, &str); 9] = [
    ("ABI", "XCLUSTER_PLUGIN_ABI"),
    ("PLACE_HOST", "XCLUSTER_PLACE_HOST"),
    ("PLACE_NAMESPACE", "XCLUSTER_PLACE_NAMESPACE"),
    ("NAMESPACE_NET", "XCLUSTER_NAMESPACE_NET"),
    ("NAMESPACE_USER", "XCLUSTER_NAMESPACE_USER"),
    ("LOG_ERROR", "XCLUSTER_LOG_ERROR"),
    ("LOG_WARN", "XCLUSTER_LOG_WARN"),
    ("LOG_INFO", "XCLUSTER_LOG_INFO"),
    ("LOG_DEBUG", "XCLUSTER_LOG_DEBUG"),
];

fn own(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn generated() -> String {
    let mut config = Config {
        language: Language::C,
        style: Style::Tag,
        cpp_compat: true,
        header: Some(HEAD.to_owned()),
        include_guard: Some("XCLUSTER_PLUGIN_H".to_owned()),
        usize_is_size_t: true,
        no_includes: true,
        sys_includes: vec!["stddef.h".to_owned(), "stdint.h".to_owned()],
        documentation_style: cbindgen::DocumentationStyle::C99,
        line_length: 120,
        ..Config::default()
    };
    config.function.rename_args = RenameRule::None;
    config.export.rename =
        NAMES.into_iter().chain(CONSTANTS).map(|(from, to)| (from.to_owned(), to.to_owned())).collect();
    let bindings = Builder::new().with_src(own("src/external/plugin/abi.rs")).with_config(config).generate();
    let mut header = Vec::new();
    bindings.expect("the interface has a form in C").write(&mut header);
    String::from_utf8(header).expect("a header is text")
}

#[test]
fn the_header_is_what_the_interface_says() {
    let (file, header) = (own("include/xcluster_plugin.h"), generated());
    if std::env::var_os("XCLUSTER_BLESS").is_some() {
        fs::write(&file, &header).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(there == header, "the header is of another interface: write it anew with XCLUSTER_BLESS=1\n{header}");
}

/// Checks that a compiler accepts a program that includes the header, with all warnings.
fn check(compiler: &str, language: &str, standard: &str) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    let text = "#include <xcluster_plugin.h>\nconst struct xcluster_plugin *of(void);\n\
                const struct xcluster_plugin *of(void) { return xcluster_plugin(); }\n";
    fs::write(&program, text).unwrap();
    let mut command = Command::new(compiler);
    command.args(["-x", language, standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-I"]);
    let output = command.arg(own("include")).arg(&program).output().unwrap_or_else(|e| panic!("{compiler}: {e}"));
    assert!(output.status.success(), "{compiler} {standard}:\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn c_and_cpp_read_the_header() {
    check("cc", "c", "-std=c99");
    check("cc", "c", "-std=c17");
    check("c++", "c++", "-std=c++11");
}
