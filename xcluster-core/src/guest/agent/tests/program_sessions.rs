//! Tests of sessions with the real agent and a host that the test controls byte by byte.

use std::process::{Child, Command as Process, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use super::program::{PATH, fifo, spawn};
use super::soon;
use crate::guest::protocol::{Decoder, End, Exec, FromGuest, HEADER, MAGIC, Stream, ToGuest, VERSION, encode};

/// A host that may violate the protocol.
struct Host {
    stream: UnixStream,
    decoder: Decoder,
    process: Child,
}

impl Host {
    fn start() -> Self {
        let mut program = Process::new(PATH);
        // The agent writes warnings, which the test causes on purpose.
        program.stderr(Stdio::null());
        let (stream, process) = spawn(program);
        Self { stream, decoder: Decoder::default(), process }
    }

    async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    async fn say(&mut self, channel: u32, message: ToGuest) {
        let mut frame = Vec::new();
        encode(channel, &message, &mut frame);
        self.write(&frame).await;
    }

    async fn begin(&mut self, session: u64) {
        self.write(&MAGIC).await;
        self.say(0, ToGuest::Hello { version: VERSION, session }).await;
    }

    async fn exec(&mut self, channel: u32, line: &str) {
        let argv = ["sh", "-c", line].map(|arg| arg.as_bytes().to_vec()).to_vec();
        self.say(channel, ToGuest::Exec(Exec { argv, ..Exec::default() })).await;
    }

    async fn hear(&mut self) -> (u32, FromGuest) {
        loop {
            if let Some(message) = self.decoder.next().unwrap() {
                return message;
            }
            let mut buffer = [0; 4096];
            let count = soon(self.stream.read(&mut buffer)).await.unwrap();
            assert!(count > 0, "the agent has ended");
            self.decoder.push(&buffer[..count]);
        }
    }

    async fn expect_hello(&mut self, expected: u64) {
        let (channel, message) = self.hear().await;
        let FromGuest::Hello(hello) = message else { panic!("no hello but {message:?}") };
        assert_eq!((channel, hello.session), (0, expected));
    }
}

fn stdout(text: &str) -> FromGuest {
    FromGuest::Data { stream: Stream::Stdout, bytes: text.into() }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn an_agent_starts_without_a_session_and_says_so() {
    let mut host = Host::start();
    host.expect_hello(0).await;
    host.begin(7).await;
    host.expect_hello(7).await;
}

#[tokio::test]
async fn a_new_host_begins_a_new_session_and_the_old_commands_are_killed() {
    let mut host = Host::start();
    host.expect_hello(0).await;
    host.begin(1).await;
    host.expect_hello(1).await;
    let (_dir, path) = fifo();
    let mut held = pipe::OpenOptions::new().open_receiver(&path).unwrap();
    host.exec(5, &format!("exec 9>{path}; echo up; sleep 1000")).await;
    assert_eq!(host.hear().await, (5, stdout("up\n")));
    host.begin(2).await;
    // The old command is not reported any more, and its number can be used again.
    host.expect_hello(2).await;
    host.exec(5, "echo new").await;
    assert_eq!(host.hear().await, (5, stdout("new\n")));
    assert_eq!(host.hear().await, (5, FromGuest::Ended(End::Code(0))));
    assert_eq!(soon(held.read(&mut [0; 8])).await.unwrap(), 0, "what held the other end is dead");
}

#[tokio::test]
async fn garbage_ends_the_session_and_not_the_agent() {
    let mut host = Host::start();
    host.expect_hello(0).await;
    host.begin(1).await;
    host.expect_hello(1).await;
    // A frame with an impossible length, and a megabyte of garbage.
    host.write(&[0xee; HEADER]).await;
    host.expect_hello(0).await;
    let garbage: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    host.write(&garbage).await;
    host.begin(2).await;
    host.expect_hello(2).await;
    host.exec(1, "echo well").await;
    assert_eq!(host.hear().await, (1, stdout("well\n")));
    assert_eq!(host.hear().await, (1, FromGuest::Ended(End::Code(0))));
}

#[tokio::test]
async fn the_agent_survives_frames_of_all_wrong_kinds() {
    let mut host = Host::start();
    host.expect_hello(0).await;
    for kind in 0..=255_u8 {
        host.begin(1).await;
        host.expect_hello(1).await;
        // For some kinds a body of zeros is valid; then the frame is about a channel that does not exist.
        let mut frame = vec![4, 0, 0, 0, 9, 0, 0, 0, kind];
        frame.extend([0; 4]);
        host.write(&frame).await;
        host.begin(2).await;
        loop {
            match host.hear().await {
                (0, FromGuest::Hello(hello)) if hello.session == 2 => break,
                (0, FromGuest::Hello(hello)) => assert_eq!(hello.session % 2, 0, "lost, or the one that was told"),
                (9, FromGuest::Failed { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
