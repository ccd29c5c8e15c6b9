//! The agent's main loop: handles the host's messages, and the events of commands and files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use crate::command::Running;
use crate::file::{Get, Put};
use crate::hello::{hello, uptime_ms};
use crate::outbox::Outbox;
use crate::port::Port;
use crate::protocol::{self, CHUNK, Decoder, Exec, FromGuest, Stream, ToGuest};
use crate::retired::Retired;
use crate::watch::{Source, Watch};

/// The state of the agent.
#[derive(Debug)]
pub(crate) struct Server {
    port: Port,
    decoder: Decoder,
    synchronised: bool,
    outbox: Outbox,
    uptime_ms: u64,
    jobs: BTreeMap<u32, Job>,
    retired: Vec<Retired>,
}

/// The job of a channel.
#[derive(Debug)]
enum Job {
    Command(Box<Running>),
    Put(Put),
    Get(Get, u32),
}

impl Server {
    /// Queues a hello for any host. Other messages are ignored until a host begins a session.
    pub(crate) fn new(port: Port) -> Self {
        let (uptime_ms, mut outbox) = (uptime_ms(), Outbox::default());
        outbox.send(0, &FromGuest::Hello(hello(0, uptime_ms)));
        Self {
            port,
            decoder: Decoder::default(),
            synchronised: false,
            outbox,
            uptime_ms,
            jobs: BTreeMap::new(),
            retired: Vec::new(),
        }
    }

    /// Runs until there will be no host any more.
    pub(crate) fn run(mut self) -> io::Result<()> {
        loop {
            self.outbox.flush(&mut self.port)?;
            for source in self.watch().wait()? {
                match source {
                    Source::Port => {
                        if !self.listen()? {
                            return Ok(());
                        }
                    }
                    Source::Retired => self.retired.retain_mut(Retired::progress),
                    Source::Leader(channel) => self.command(channel, |running, _| running.reap()),
                    Source::Input(channel) => self.command(channel, Running::write_input),
                    Source::Output(channel, stream) => {
                        self.command(channel, |running, outbox| running.read_output(stream, outbox));
                    }
                }
            }
            self.progress(Instant::now());
        }
    }

    fn watch(&self) -> Watch {
        let mut watch = Watch::default();
        if self.outbox.is_empty() {
            watch.readable(&self.port, Source::Port);
        } else {
            watch.both(&self.port, Source::Port);
        }
        for job in self.jobs.values() {
            match job {
                Job::Command(running) => running.watch(&mut watch, &self.outbox),
                Job::Get(_, credit) if self.outbox.room(*credit) > 0 => watch.until(Instant::now()),
                Job::Get(..) | Job::Put(_) => {}
            }
        }
        for retired in &self.retired {
            retired.watch(&mut watch);
        }
        watch
    }

    /// Reads and handles messages of the host. Returns false when there will be no host any more.
    fn listen(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 64 * 1024];
        match self.port.read(&mut buffer)? {
            None => {}
            Some(0) => {
                self.forget_session();
                self.decoder = Decoder::default();
                self.outbox.clear();
                let mut greeting = Vec::new();
                protocol::encode(0, &FromGuest::Hello(hello(0, self.uptime_ms)), &mut greeting);
                return self.port.greet_next_host(&greeting);
            }
            Some(count) => {
                self.decoder.push(&buffer[..count]);
                while self.hear() {}
            }
        }
        Ok(true)
    }

    /// Handles one message from the bytes that were read. Returns false when there is none.
    fn hear(&mut self) -> bool {
        if !self.synchronised {
            self.synchronised = self.decoder.synchronise();
            if !self.synchronised {
                return false;
            }
        }
        match self.decoder.next() {
            Ok(Some((channel, message))) => self.obey(channel, message),
            Ok(None) => return false,
            Err(malformed) => self.lose_thread(malformed),
        }
        true
    }

    /// Waits for a new session: a new host has begun one, or the host sent garbage.
    fn lose_thread(&mut self, problem: impl std::fmt::Display) {
        self.forget_session();
        self.synchronised = self.decoder.synchronise();
        if !self.synchronised {
            eprintln!("xcluster-agent: the host sent {problem}; waiting for a new session");
            self.outbox.send(0, &FromGuest::Hello(hello(0, self.uptime_ms)));
        }
    }

    fn forget_session(&mut self) {
        self.synchronised = false;
        for job in std::mem::take(&mut self.jobs).into_values() {
            self.retire(job);
        }
    }

    fn retire(&mut self, job: Job) {
        if let Job::Command(running) = job {
            self.retired.push(running.cancel());
        }
    }

    fn obey(&mut self, channel: u32, message: ToGuest) {
        match message {
            ToGuest::Hello { session, .. } => {
                self.outbox.send(0, &FromGuest::Hello(hello(session, self.uptime_ms)));
            }
            ToGuest::Exec(exec) => self.exec(channel, &exec),
            ToGuest::Put { path, mode } => self.put(channel, path_of(&path), mode),
            ToGuest::Get { path } => self.get(channel, path_of(&path)),
            ToGuest::Data(bytes) => self.take_data(channel, &bytes),
            ToGuest::Eof { total } => self.end_data(channel, total),
            ToGuest::Credit(credit) => match self.jobs.get_mut(&channel) {
                Some(Job::Command(running)) => running.credit(credit),
                Some(Job::Get(_, held)) => *held = held.saturating_add(credit),
                Some(Job::Put(_)) | None => {}
            },
            ToGuest::Signal(number) => self.command(channel, |running, _| running.signal(number)),
            ToGuest::Cancel => {
                if let Some(job) = self.jobs.remove(&channel) {
                    self.retire(job);
                }
            }
        }
    }

    fn exec(&mut self, channel: u32, exec: &Exec) {
        let cwd = path_of(&exec.cwd);
        match Running::start(channel, exec) {
            Ok(running) => self.begin(channel, Job::Command(Box::new(running))),
            Err(error) if !exec.cwd.is_empty() && !cwd.is_dir() => {
                self.outbox.fail(channel, &format!("cannot enter `{}`", cwd.display()), &error);
            }
            Err(error) => {
                let program =
                    exec.argv.first().map_or_else(Default::default, |program| String::from_utf8_lossy(program));
                self.outbox.fail(channel, &format!("cannot run `{program}`"), &error);
            }
        }
    }

    fn put(&mut self, channel: u32, path: &Path, mode: u32) {
        match Put::begin(path, mode, channel) {
            Ok(put) => self.begin(channel, Job::Put(put)),
            Err(error) => self.outbox.fail(channel, &format!("cannot write `{}`", path.display()), &error),
        }
    }

    fn get(&mut self, channel: u32, path: &Path) {
        match Get::begin(path) {
            Ok(get) => {
                self.outbox.send(channel, &FromGuest::Opened { mode: get.mode, size: get.size });
                self.begin(channel, Job::Get(get, protocol::WINDOW));
            }
            Err(error) => self.outbox.fail(channel, &format!("cannot read `{}`", path.display()), &error),
        }
    }

    fn begin(&mut self, channel: u32, job: Job) {
        if let Some(replaced) = self.jobs.insert(channel, job) {
            self.retire(replaced);
        }
    }

    fn take_data(&mut self, channel: u32, bytes: &[u8]) {
        match self.jobs.get_mut(&channel) {
            Some(Job::Command(running)) => running.input(bytes, &mut self.outbox),
            Some(Job::Put(put)) => match put.write(bytes) {
                Ok(()) => self.outbox.send(channel, &FromGuest::Credit(protocol::cost(bytes.len()))),
                Err(error) => {
                    self.outbox.fail(channel, "cannot write the file", &error);
                    self.jobs.remove(&channel);
                }
            },
            Some(Job::Get(..)) | None => {}
        }
    }

    fn end_data(&mut self, channel: u32, total: u64) {
        match self.jobs.remove(&channel) {
            Some(Job::Put(put)) => match put.complete(total) {
                Ok(total) => self.outbox.send(channel, &FromGuest::Complete { total }),
                Err(error) => self.outbox.fail(channel, "cannot complete the file", &error),
            },
            Some(mut job) => {
                if let Job::Command(running) = &mut job {
                    running.end_input();
                }
                self.jobs.insert(channel, job);
            }
            None => {}
        }
    }

    /// Calls `act` with a command, if it still exists.
    fn command(&mut self, channel: u32, act: impl FnOnce(&mut Running, &mut Outbox)) {
        if let Some(Job::Command(running)) = self.jobs.get_mut(&channel) {
            act(running, &mut self.outbox);
        }
    }

    /// Handles everything that does not depend on a descriptor: timeouts, results and files.
    fn progress(&mut self, now: Instant) {
        let channels: Vec<u32> = self.jobs.keys().copied().collect();
        for channel in channels {
            let done = match self.jobs.get_mut(&channel) {
                Some(Job::Command(running)) => match running.progress(now) {
                    Some(end) => {
                        self.outbox.send(channel, &FromGuest::Ended(end));
                        true
                    }
                    None => false,
                },
                Some(Job::Get(get, credit)) => send_file(channel, get, credit, &mut self.outbox),
                Some(Job::Put(_)) | None => false,
            };
            if let Some(Job::Command(running)) = done.then(|| self.jobs.remove(&channel)).flatten() {
                self.retired.push(running.finish());
            }
        }
        self.retired.retain(|retired| !retired.is_empty());
    }
}

/// Sends the next chunk of a file, if the outbox has room and there are credits. Returns true at the end of the file.
fn send_file(channel: u32, get: &mut Get, credit: &mut u32, outbox: &mut Outbox) -> bool {
    let mut buffer = [0; CHUNK];
    let most = outbox.room(*credit);
    if most == 0 {
        return false;
    }
    match get.read(&mut buffer[..most]) {
        Ok(Ok(count)) => {
            *credit -= protocol::cost(count);
            outbox.send(channel, &FromGuest::Data { stream: Stream::Stdout, bytes: buffer[..count].to_vec() });
            false
        }
        Ok(Err(total)) => {
            outbox.send(channel, &FromGuest::Complete { total });
            true
        }
        Err(error) => {
            outbox.fail(channel, "cannot read the file", &error);
            true
        }
    }
}

fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
