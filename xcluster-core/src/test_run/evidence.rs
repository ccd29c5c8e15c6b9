//! The evidence of a test: consoles, QEMU's messages, events and the plan, as files and as a report to print. Both are
//! bounded, whatever a guest prints.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::executor::block_on;

use super::artifacts::{CONSOLE, EVENTS, PLAN, QEMU, RESULT};
use crate::cluster::{Cluster, Event, Events, NodeState};

/// How many lines of each text are printed.
const LINES: usize = 20;
/// How many lines of the plan are printed: it is most readable from its beginning.
const PLAN_LINES: usize = 40;
/// Of how many nodes the consoles are printed, those that are not ready first. The files have all of them.
const NODES: usize = 8;
/// How large a file becomes, in bytes.
const FILE_MAX: usize = 1024 * 1024;

type TimedEvents = Vec<(Duration, Event)>;

/// A thread that notes when each event of a cluster happens. It ends with the cluster, and needs no runtime of the test's.
pub(super) struct Recorder {
    begun: Instant,
    events: Arc<Mutex<TimedEvents>>,
    thread: JoinHandle<()>,
}

impl Recorder {
    pub(super) fn start(mut events: Events) -> io::Result<Self> {
        let (begun, noted) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
        let notes = noted.clone();
        let thread = std::thread::Builder::new().name("xcluster-events".to_owned()).spawn(move || {
            while let Some(event) = block_on(events.next()) {
                notes.lock().unwrap_or_else(PoisonError::into_inner).push((begun.elapsed(), event));
            }
        })?;
        Ok(Self { begun, events: noted, thread })
    }

    fn so_far(&self) -> TimedEvents {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Completes the evidence once the cluster has ended. A pause is not the test's time.
    pub(super) fn finish(self, evidence: &mut Evidence, paused: Duration) {
        evidence.took = self.begun.elapsed().saturating_sub(paused);
        // A panic of that thread would lose its last events, and is none of the test's.
        let _ = self.thread.join();
        evidence.events = std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The evidence of a test: it explains how the test ended.
pub(super) struct Evidence {
    test: String,
    cluster: String,
    plan: String,
    nodes: Vec<NodeEvidence>,
    events: TimedEvents,
    took: Duration,
    /// How the test ended, as text.
    pub(super) outcome: String,
}

struct NodeEvidence {
    name: String,
    state: Option<NodeState>,
    reason: Option<String>,
    console: String,
    qemu: String,
}

impl Evidence {
    /// Of a cluster that runs, or did not start.
    pub(super) async fn collect(test: &str, cluster: &Cluster, recorder: &Recorder, outcome: String) -> Self {
        let states = cluster.status().await.map(|status| status.nodes).unwrap_or_default();
        let mut nodes = Vec::new();
        for node in cluster.nodes() {
            let status = states.iter().find(|status| status.id == node.id());
            nodes.push(NodeEvidence {
                name: node.name(),
                state: status.map(|status| status.state),
                reason: status.and_then(|status| status.reason.clone()),
                // An error means that the node was never started, and has none.
                console: node.console_text().await.unwrap_or_default(),
                qemu: node.qemu_messages().await.unwrap_or_default(),
            });
        }
        let (plan, events) = (cluster.plan().to_string(), recorder.so_far());
        let (test, cluster) = (test.to_owned(), cluster.name().to_string());
        Self { test, cluster, plan, nodes, events, took: recorder.begun.elapsed(), outcome }
    }

    /// How long the test took, apart from what it waited for boots of other clusters.
    pub(super) fn times(&self) -> String {
        let waited = waited_for_boot_slots(&self.events);
        let own = self.took.saturating_sub(waited);
        format!("{:.1} s, and {:.1} s of waiting for boot slots", own.as_secs_f64(), waited.as_secs_f64())
    }

    /// Names and texts of the files that are kept.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        let mut files = vec![
            (RESULT.to_owned(), self.result()),
            (PLAN.to_owned(), self.plan.clone()),
            (EVENTS.to_owned(), self.events.iter().map(|(at, event)| event_line(*at, event) + "\n").collect()),
        ];
        for node in &self.nodes {
            for (text, suffix) in [(&node.console, CONSOLE), (&node.qemu, QEMU)] {
                if !text.is_empty() {
                    files.push((format!("{}{suffix}", node.name), text.clone()));
                }
            }
        }
        files.into_iter().map(|(name, text)| (name, end_of(text, FILE_MAX))).collect()
    }

    fn result(&self) -> String {
        let mut text =
            format!("test {}, cluster {}: {}\ntime: {}\n", self.test, self.cluster, self.outcome, self.times());
        for node in &self.nodes {
            let state = node.state.map_or_else(|| "unknown".to_owned(), |state| state.to_string());
            let reason = node.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let _ = writeln!(text, "{}: {state}{reason}", node.name);
        }
        text
    }

    /// What is printed of a failure. `kept` is the folder with all of it.
    pub(super) fn report(&self, kept: Option<&Path>) -> String {
        let mut report = first_lines(&self.result(), PLAN_LINES);
        let mut nodes: Vec<&NodeEvidence> = self.nodes.iter().collect();
        nodes.sort_by_key(|node| node.state == Some(NodeState::Ready));
        for node in nodes.iter().take(NODES) {
            section(&mut report, &format!("the console of {}", node.name), &last_lines(&node.console));
            section(&mut report, &format!("QEMU's messages of {}", node.name), &last_lines(&node.qemu));
        }
        if nodes.len() > NODES {
            let _ = writeln!(report, "---- {} more nodes are not shown", nodes.len() - NODES);
        }
        let events: Vec<String> = self.events.iter().map(|(at, event)| event_line(*at, event)).collect();
        section(&mut report, "events", &last_lines(&events.join("\n")));
        section(&mut report, "plan", &first_lines(&self.plan, PLAN_LINES));
        if let Some(folder) = kept {
            let _ = writeln!(report, "---- all of it is kept in {}", folder.display());
        }
        report
    }
}

fn section(report: &mut String, title: &str, text: &str) {
    if !text.is_empty() {
        let _ = writeln!(report, "---- {title}\n{}", text.trim_end());
    }
}

fn first_lines(text: &str, count: usize) -> String {
    let mut lines: Vec<&str> = text.lines().take(count).collect();
    if text.lines().count() > count {
        lines.push("…");
    }
    printable(&(lines.join("\n") + "\n"))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    printable(&lines[lines.len().saturating_sub(LINES)..].join("\n"))
}

/// A text that cannot steer a terminal, and whose lines are not endless.
fn printable(text: &str) -> String {
    let line = |line: &str| -> String { line.chars().filter(|c| !c.is_control()).take(400).chain(['\n']).collect() };
    text.lines().map(line).collect()
}

/// The end of a text that is too large for a file, with a line that says what is missing.
fn end_of(text: String, max: usize) -> String {
    if text.len() <= max {
        return text;
    }
    let end = String::from_utf8_lossy(&text.as_bytes()[text.len() - max..]);
    format!("[{} bytes are left out]\n{end}", text.len() - max)
}

fn event_line(at: Duration, event: &Event) -> String {
    let text = match event {
        Event::Begin { step } => format!("begin: {step}"),
        Event::Done { step, took } => format!("done after {:.3} s: {step}", took.as_secs_f64()),
        Event::Failed { step, error } => format!("failed: {step}: {error}"),
        Event::Note { text } => format!("note: {text}"),
        Event::BootSlot { node, waited } => {
            format!("{node} has a boot slot after waiting {:.3} s", waited.as_secs_f64())
        }
        Event::Ready => "ready".to_owned(),
        Event::Exited { node, reason } => format!("{node} ended: {reason}"),
        Event::NodeStopped { node } => format!("{node} was stopped"),
        Event::Stopped => "stopped".to_owned(),
    };
    format!("{:9.3} s  {}", at.as_secs_f64(), text.replace('\n', "\n             "))
}

/// The time in which at least one node waited for boots of other clusters: nodes wait side by side.
fn waited_for_boot_slots(events: &[(Duration, Event)]) -> Duration {
    let mut waits: Vec<(Duration, Duration)> = events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::BootSlot { waited, .. } => Some((at.saturating_sub(*waited), *at)),
            _ => None,
        })
        .collect();
    waits.sort();
    let (mut total, mut covered) = (Duration::ZERO, Duration::ZERO);
    for (from, to) in waits {
        total += to.saturating_sub(from.max(covered));
        covered = covered.max(to);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::NodeId;

    fn slot(at: u64, waited: u64) -> (Duration, Event) {
        let waited = Duration::from_millis(waited);
        (Duration::from_millis(at), Event::BootSlot { node: NodeId::new(1).unwrap(), waited })
    }

    #[test]
    fn nodes_that_wait_side_by_side_are_counted_once() {
        let waited = |events: &[(Duration, Event)]| waited_for_boot_slots(events).as_millis();
        assert_eq!(waited(&[slot(100, 50), slot(120, 60)]), 70);
        assert_eq!(waited(&[slot(100, 50), slot(90, 10)]), 50);
        assert_eq!(waited(&[slot(100, 50), slot(300, 100), (Duration::ZERO, Event::Ready)]), 150);
        assert_eq!(waited(&[]), 0);
    }

    #[test]
    fn a_report_is_bounded_and_cannot_steer_a_terminal() {
        let node = |number: usize| NodeEvidence {
            name: format!("vm-{number:03}"),
            state: Some(if number == 200 { NodeState::Failed } else { NodeState::Ready }),
            reason: None,
            console: "\x1b[2Jflood\n".repeat(100_000),
            qemu: String::new(),
        };
        let evidence = Evidence {
            test: "a".to_owned(),
            cluster: "b".to_owned(),
            plan: "step\n".repeat(1000),
            nodes: (1..=200).map(node).collect(),
            events: vec![slot(2, 1); 1000],
            took: Duration::from_secs(3),
            outcome: "failed".to_owned(),
        };
        let report = evidence.report(None);
        assert!(report.lines().count() < 300, "{} lines", report.lines().count());
        assert!(!report.contains('\x1b') && report.contains("[2Jflood"));
        assert!(report.contains("the console of vm-200") && report.contains("192 more nodes are not shown"));
        assert!(evidence.files().iter().all(|(_, text)| text.len() < FILE_MAX + 100));
    }
}
