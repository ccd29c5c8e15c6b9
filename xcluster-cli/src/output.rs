//! Standard output, which only gets data. A closed pipe ends the command quietly, without a panic.

use std::io::{ErrorKind, Write, stdout};

use serde::Serialize;

use crate::exit::Exit;
use crate::report::Failure;

/// Prints text unchanged.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write_all(text.as_bytes())
}

/// Prints a value as indented JSON.
pub(crate) fn print_json<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::from_error(Exit::FAILURE, &error).context("cannot write JSON"))?;
    text.push('\n');
    print(&text)
}

/// Prints bytes unchanged, and flushes.
pub(crate) fn write_all(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| failed(&error))
}

/// The failure of a write to standard output.
pub(crate) fn failed(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::quiet(Exit::PIPE),
        _ => Failure::io("write to standard output", error),
    }
}

/// A table of rows under headings, with two spaces between columns and no lines.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(headings).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_no_trailing_space() {
        let rows = [["vm-001".to_owned(), "ready".to_owned()], ["vm-201".to_owned(), String::new()]];
        assert_eq!(table(["NAME", "STATE"], rows), "NAME    STATE\nvm-001  ready\nvm-201\n");
    }
}
