//! One step of a start: its events, and its error with what helps to explain it.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Instant;

use futures::FutureExt;

use super::node_state::NodeRecord;
use crate::cluster::error::{Cause, StartFailure};
use crate::cluster::event::{Event, EventLog};
use crate::error_chain;
use crate::plan::Step;

/// How much of a failed node's console is shown, in lines: a kernel that panics says why some 35 lines before its last.
const CONSOLE_LINES: usize = 40;

/// A step that failed.
#[derive(Debug)]
pub(super) struct StepError {
    pub(super) step: Step,
    pub(super) cause: Cause,
    /// The node that failed, whose console may explain it.
    pub(super) node: Option<Rc<NodeRecord>>,
}

/// Does a step and reports its beginning and end.
pub(super) async fn step<T>(
    events: &EventLog,
    step: Step,
    work: impl Future<Output = Result<T, Cause>>,
) -> Result<T, StepError> {
    let begun = Instant::now();
    events.note(Event::Begin { step: step.clone() });
    // A backend may be any program: a panic in it fails this step and is reported.
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    match outcome.unwrap_or_else(|panic| Err(Cause::from_panic(panic.as_ref()))) {
        Ok(value) => {
            events.note(Event::Done { step, took: begun.elapsed() });
            Ok(value)
        }
        Err(cause) => Err(StepError { step, cause, node: None }),
    }
}

impl StepError {
    /// Says which node failed.
    pub(super) fn of(self, node: &Rc<NodeRecord>) -> Self {
        Self { node: Some(node.clone()), ..self }
    }

    /// Reports the failure and collects what explains it. To be called before anything is undone: the end of a QEMU that is
    /// stopped would look like the cause.
    pub(super) fn into_start_failure(self, events: &EventLog) -> StartFailure {
        let Self { step, cause, node } = self;
        let error = error_chain::one_line(&cause);
        events.note(Event::Failed { step: step.clone(), error: error.clone() });
        let mut failure = StartFailure { step, cause, console: None, stderr: None, stopped: 0, leftovers: Vec::new() };
        let Some(node) = node else { return failure };
        node.set_failed(error);
        if let Some(qemu) = node.qemu() {
            failure.console = Some(last_lines(&qemu.console().tail())).filter(|text| !text.is_empty());
            failure.stderr = Some(qemu.stderr()).filter(|text| !text.is_empty());
        }
        failure
    }
}

/// The end of a console as text that cannot steer a terminal.
fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    let lines: Vec<&str> = plain.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n")
}
