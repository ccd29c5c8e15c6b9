//! Samples, and their medians and ratios as a table or as JSON.

use std::io::Write;
use std::process::Command;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// With fewer samples than this, the 99th percentile is the highest sample.
const ENOUGH_FOR_P99: usize = 100;

/// Everything that a bench has measured.
#[derive(Debug, Serialize)]
pub struct Report {
    bench: &'static str,
    machine: Machine,
    rows: Vec<Row>,
}

/// The machine that it was measured on.
#[derive(Debug, Serialize)]
struct Machine {
    cores: usize,
    kernel: String,
    qemu: String,
    /// The load average of the last minute when the bench began: above zero, the machine had other work.
    load: String,
}

/// The samples of one quantity, in the order in which they were measured.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    unit: &'static str,
    samples: Vec<f64>,
    median: f64,
    /// The median of the ratios of each sample to the sample of the same round in the row before.
    ratio: Option<f64>,
}

impl Report {
    /// A report without rows.
    pub fn new(bench: &'static str) -> Self {
        Self { bench, machine: Machine::this(), rows: Vec::new() }
    }

    /// Adds a row of samples.
    pub fn row(&mut self, what: impl Into<String>, unit: &'static str, samples: impl IntoIterator<Item = f64>) {
        let samples: Vec<f64> = samples.into_iter().collect();
        let median = percentile(&samples, 50);
        self.rows.push(Row { what: what.into(), unit, samples, median, ratio: None });
    }

    /// Adds samples of another method and of ours that were measured alternately: two rows, the second with the ratio.
    pub fn pair(&mut self, unit: &'static str, theirs: (&str, Vec<f64>), ours: (&str, Vec<f64>)) {
        let ratios: Vec<f64> = ours.1.iter().zip(&theirs.1).map(|(ours, theirs)| ours / theirs).collect();
        self.row(theirs.0, unit, theirs.1);
        self.row(ours.0, unit, ours.1);
        if let Some(row) = self.rows.last_mut() {
            row.ratio = Some(percentile(&ratios, 50));
        }
    }

    /// Adds a row with the ratios of our samples to those of another method in the same rounds.
    pub fn ratio(&mut self, what: impl Into<String>, ours: &[f64], theirs: &[f64]) {
        self.row(what, "ratio", ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs));
    }

    /// Writes it to standard output: a table, or with `--json` all samples.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn print(&self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if std::env::args().any(|arg| arg == "--json") {
            serde_json::to_writer_pretty(&mut out, self)?;
            writeln!(out)?;
        } else {
            let Machine { cores, kernel, qemu, load } = &self.machine;
            writeln!(out, "{}: {cores} cores, Linux {kernel}, {qemu}, load {load}\n{}", self.bench, self.table())?;
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        table.set_header(["", "unit", "median", "lowest", "highest", "p99", "samples", "ratio"]);
        for row in &self.rows {
            let p99 = (row.samples.len() >= ENOUGH_FOR_P99).then(|| figure(percentile(&row.samples, 99)));
            table.add_row([
                row.what.clone(),
                row.unit.to_owned(),
                figure(row.median),
                figure(percentile(&row.samples, 0)),
                figure(percentile(&row.samples, 100)),
                p99.unwrap_or_default(),
                row.samples.len().to_string(),
                row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            ]);
        }
        table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        table
    }
}

impl Machine {
    fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let version = Command::new("qemu-system-x86_64").arg("--version").output();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            qemu: version.lines().next().unwrap_or("no QEMU").replace("emulator version ", ""),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// The smallest sample that at least this percentage of the samples does not exceed; not a number if there are none.
pub fn percentile(samples: &[f64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Three significant digits.
fn figure(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        below_ten if below_ten < 10.0 => 2,
        below_hundred if below_hundred < 100.0 => 1,
        _ => 0,
    };
    // A call of microseconds is not written as 0.
    if value != 0.0 && value.abs() < 0.1 { format!("{value:.4}") } else { format!("{value:.digits$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_sample() {
        let samples: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        for (percent, expected) in [(0, 1.0), (50, 100.0), (99, 198.0), (100, 200.0)] {
            assert_eq!(percentile(&samples, percent), expected, "{percent}");
        }
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 50), 2.0);
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn the_ratio_is_that_of_pairs() {
        // The machine became twice as slow meanwhile, which does not change the ratio.
        let mut report = Report::new("test");
        report.pair("s", ("theirs", vec![1.0, 1.0, 2.0]), ("ours", vec![1.1, 1.1, 2.2]));
        assert!((report.rows[1].ratio.unwrap() - 1.1).abs() < 1e-9);
    }

    #[test]
    fn figures_have_three_digits() {
        let written: Vec<String> = [0.0, 0.00123, 0.5, 1.234, 12.34, 1234.5].into_iter().map(figure).collect();
        assert_eq!(written, ["0", "0.0012", "0.50", "1.23", "12.3", "1234"]);
    }
}
