//! The progress of a start on standard error: on a terminal a line with a spinner per booting node, otherwise plain lines.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use xcluster_core::Event;
use xcluster_core::plan::Step;

use crate::report::printable;

/// The interval of spinners.
const TICK: Duration = Duration::from_millis(120);

/// Shows the events of a start.
#[derive(Debug)]
pub(crate) struct Progress {
    bars: Option<Bars>,
}

/// The lines with spinners, by step.
#[derive(Debug, Default)]
struct Bars {
    all: MultiProgress,
    active: BTreeMap<Step, ProgressBar>,
}

impl Progress {
    /// Progress on the standard error of this process.
    pub(crate) fn new() -> Self {
        Self { bars: stderr().is_terminal().then(Bars::default) }
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: &Event) {
        match &mut self.bars {
            Some(bars) => bars.show(event),
            None => print_line(text(event)),
        }
    }

    /// Removes the lines with spinners.
    pub(crate) fn finish(&mut self) {
        self.bars.take().inspect(|bars| drop(bars.all.clear()));
    }
}

/// Prints a line. A closed standard error does not stop a start.
fn print_line(line: Option<String>) {
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

/// The text of an event; none for quick steps.
fn text(event: &Event) -> Option<String> {
    Some(match event {
        Event::Begin { step: Step::Guest } => "guest: preparing".to_owned(),
        Event::Begin { step: Step::Boot { node } } => format!("{node}: booting"),
        Event::Done { step: Step::Guest, took } => format!("guest: ready after {}", seconds(*took)),
        Event::Done { step: Step::Boot { node }, took } => format!("{node}: ready after {}", seconds(*took)),
        // The reason is printed at the end, with the failure context.
        Event::Failed { step: Step::Boot { node }, .. } => format!("{node}: failed"),
        Event::Note { text } => format!("note: {}", printable(text)),
        Event::NodeStopped { node } => format!("{node}: stopped"),
        Event::Exited { node, reason } => format!("{node}: ended: {}", printable(reason)),
        _ => return None,
    })
}

/// The time, cut off after a tenth of a second.
fn seconds(time: Duration) -> String {
    format!("{}.{} s", time.as_secs(), time.subsec_millis() / 100)
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
        check(Event::Done { step: step.clone(), took: Duration::from_millis(3149) }, Some("vm-001: ready after 3.1 s"));
        check(Event::Failed { step, error: "QEMU exited".into() }, Some("vm-001: failed"));
        let reason = "QEMU \x1b[2Jexited".to_owned();
        check(Event::Exited { node: NodeId::new(1).unwrap(), reason }, Some("vm-001: ended: QEMU [2Jexited"));
        check(Event::Begin { step: Step::Preflight { backend: "user".into() } }, None);
        check(Event::Ready, None);
    }
}
