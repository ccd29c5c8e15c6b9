//! Waits for descriptors and deadlines with one `poll`.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Instant;

use crate::protocol::Stream;
use crate::sys::{self, POLLIN, POLLOUT, PollFd};

/// The source of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Port,
    Leader(u32),
    Input(u32),
    Output(u32, Stream),
    Retired,
}

/// The descriptors and deadlines to wait for. A descriptor is only added while the agent would act on it: poll always reports a
/// hang-up, and an ignored one would use a whole core.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    fds: Vec<PollFd>,
    sources: Vec<Source>,
    until: Option<Instant>,
}

impl Watch {
    /// Wakes when the descriptor can be read or its other end is closed.
    pub(crate) fn readable(&mut self, fd: &impl AsRawFd, source: Source) {
        self.add(fd, POLLIN, source);
    }

    /// Wakes when the descriptor can be written or its other end is closed.
    pub(crate) fn writable(&mut self, fd: &impl AsRawFd, source: Source) {
        self.add(fd, POLLOUT, source);
    }

    /// Wakes for both.
    pub(crate) fn both(&mut self, fd: &impl AsRawFd, source: Source) {
        self.add(fd, POLLIN | POLLOUT, source);
    }

    /// Wakes at this time at the latest.
    pub(crate) fn until(&mut self, time: Instant) {
        self.until = Some(self.until.map_or(time, |until| until.min(time)));
    }

    /// Waits, and returns the sources that are ready.
    pub(crate) fn wait(mut self) -> io::Result<Vec<Source>> {
        let timeout = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        sys::wait(&mut self.fds, timeout)?;
        let ready = self.fds.iter().zip(self.sources).filter(|(fd, _)| fd.revents != 0);
        Ok(ready.map(|(_, source)| source).collect())
    }

    fn add(&mut self, fd: &impl AsRawFd, events: i16, source: Source) {
        self.fds.push(PollFd { fd: fd.as_raw_fd(), events, revents: 0 });
        self.sources.push(source);
    }
}
