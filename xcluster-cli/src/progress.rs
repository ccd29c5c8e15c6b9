//! What is going on while a cluster starts, on standard error: a line per node that boots if that is a terminal, plain
//! lines if not. Shows what it is told and knows nothing of clusters.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use xcluster_core::Event;
use xcluster_core::plan::Step;

use crate::report::printable;

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Shows the events of a start.
#[derive(Debug)]
pub(crate) struct Progress {
    bars: Option<Bars>,
}

/// The lines that turn, by step.
#[derive(Debug, Default)]
struct Bars {
    all: MultiProgress,
    active: BTreeMap<Step, ProgressBar>,
}

impl Progress {
    /// For the standard error of this process.
    pub(crate) fn new() -> Self {
        Self { bars: stderr().is_terminal().then(Bars::default) }
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: &Event) {
        match &mut self.bars {
            Some(bars) => bars.show(event),
            None => say(text(event)),
        }
    }

    /// Takes away the lines that turn.
    pub(crate) fn finish(&mut self) {
        self.bars.take().inspect(|bars| drop(bars.all.clear()));
    }
}

/// A standard error that nobody reads does not stop a start.
fn say(line: Option<String>) {
    if let Some(line) = line {
        let _ = writeln!(stderr(), "{line}");
    }
}

impl Bars {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Begin { step } => {
                if let Some(text) = text(event) {
                    self.active.insert(step.clone(), self.all.add(bar(text)));
                }
                return;
            }
            Event::Done { step, .. } | Event::Failed { step, .. } => {
                if let Some(bar) = self.active.remove(step) {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
        if let Some(text) = text(event) {
            let _ = self.all.println(text);
        }
    }
}

fn bar(text: String) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{spinner} {msg} {elapsed}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style).with_message(text);
    bar.enable_steady_tick(TICK);
    bar
}

/// An event in words; none for those that take no time.
fn text(event: &Event) -> Option<String> {
    Some(match event {
        Event::Begin { step: Step::Guest } => "guest: getting it ready".to_owned(),
        Event::Begin { step: Step::Boot { node } } => format!("{node}: booting"),
        Event::Done { step: Step::Guest, millis } => format!("guest: ready after {}", seconds(*millis)),
        Event::Done { step: Step::Boot { node }, millis } => format!("{node}: ready after {}", seconds(*millis)),
        // Why is told at the end, with all that helps to see it.
        Event::Failed { step: Step::Boot { node }, .. } => format!("{node}: failed"),
        Event::Note { text } => format!("note: {}", printable(text)),
        Event::NodeStopped { node } => format!("{node}: stopped"),
        Event::Exited { node, reason } => format!("{node}: ended: {}", printable(reason)),
        _ => return None,
    })
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use xcluster_core::name::NodeId;

    use super::*;

    #[test]
    fn a_boot_is_a_line_when_it_begins_and_when_it_ends() {
        let step = Step::Boot { node: NodeId::new(1).unwrap() };
        let check = |event: Event, expected: Option<&str>| assert_eq!(text(&event).as_deref(), expected);
        check(Event::Begin { step: step.clone() }, Some("vm-001: booting"));
        check(Event::Done { step: step.clone(), millis: 3149 }, Some("vm-001: ready after 3.1 s"));
        check(Event::Failed { step, error: "QEMU exited".into() }, Some("vm-001: failed"));
        let reason = "QEMU \x1b[2Jexited".to_owned();
        check(Event::Exited { node: NodeId::new(1).unwrap(), reason }, Some("vm-001: ended: QEMU [2Jexited"));
        check(Event::Begin { step: Step::Preflight { backend: "user".into() } }, None);
        check(Event::Ready, None);
    }
}
