//! Output of several nodes on one stream: complete lines, each with the node's name as prefix.

/// Largest line in bytes. Longer lines are split, so that a stream without line ends does not fill memory.
const LINE_MAX: usize = 64 * 1024;

/// Splits the output of one node into lines.
#[derive(Debug)]
pub(super) struct Lines {
    prefix: String,
    pending: Vec<u8>,
}

impl Lines {
    /// Lines with this name as prefix.
    pub(super) fn new(name: impl std::fmt::Display) -> Self {
        Self { prefix: format!("{name}: "), pending: Vec::new() }
    }

    /// Adds output, and returns the lines that are complete now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.pending.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.pending.len() >= LINE_MAX {
                lines.extend(self.take());
            }
        }
        lines
    }

    /// The last line, if it has no line end.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        if self.pending.is_empty() { Vec::new() } else { self.take() }
    }

    fn take(&mut self) -> Vec<u8> {
        let mut line = self.prefix.clone().into_bytes();
        line.append(&mut self.pending);
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&str]) -> String {
        let mut lines = Lines::new("vm-001");
        let mut all: Vec<u8> = pieces.iter().flat_map(|piece| lines.push(piece.as_bytes())).collect();
        all.extend(lines.finish());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn every_line_begins_with_the_nodes_name() {
        assert_eq!(lines(&["a\nb\n"]), "vm-001: a\nvm-001: b\n");
        assert_eq!(lines(&["a", "b\nc"]), "vm-001: ab\nvm-001: c\n");
        assert_eq!(lines(&["\n"]), "vm-001: \n");
        assert_eq!(lines(&[]), "");
    }

    #[test]
    fn a_stream_without_line_ends_is_split() {
        let long = "x".repeat(LINE_MAX);
        assert_eq!(lines(&[&long, "y"]), format!("vm-001: {long}\nvm-001: y\n"));
    }
}
