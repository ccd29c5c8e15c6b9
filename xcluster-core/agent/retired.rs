//! The rest of finished or cancelled commands: processes to reap, and pipes to drain.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::process::Child;

use crate::watch::{Source, Watch};

/// A leader that was killed and has not ended yet, and pipes that other processes hold open.
#[derive(Debug)]
pub(crate) struct Retired {
    leader: Option<(Child, OwnedFd)>,
    pipes: Vec<File>,
}

impl Retired {
    pub(crate) fn new(leader: Option<(Child, OwnedFd)>, pipes: Vec<File>) -> Self {
        Self { leader, pipes }
    }

    pub(crate) fn watch(&self, watch: &mut Watch) {
        if let Some((_, fd)) = &self.leader {
            watch.readable(fd, Source::Retired);
        }
        for pipe in &self.pipes {
            watch.readable(pipe, Source::Retired);
        }
    }

    /// Whether nothing is left to wait for.
    pub(crate) fn is_empty(&self) -> bool {
        self.leader.is_none() && self.pipes.is_empty()
    }

    /// Reaps the leader and discards output. Returns false when nothing is left.
    pub(crate) fn progress(&mut self) -> bool {
        self.leader.take_if(|(child, _)| !matches!(child.try_wait(), Ok(None)));
        self.pipes.retain_mut(is_open);
        !self.is_empty()
    }
}

fn is_open(pipe: &mut File) -> bool {
    match pipe.read(&mut [0; 64 * 1024]) {
        Ok(count) => count > 0,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}
