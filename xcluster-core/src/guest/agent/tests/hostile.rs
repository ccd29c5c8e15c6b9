//! Tests of the host's end against a fake agent that is late, hostile or gone.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::soon;
use crate::guest::agent::Agent;
use crate::guest::exec::{Command, Event, ExecError, Status};
use crate::guest::protocol::{CHUNK, Decoder, End, FromGuest, Hello, Stream, ToGuest, VERSION, WINDOW, cost, encode};

/// The guest's end, controlled by the test.
struct Fake {
    stream: UnixStream,
    decoder: Decoder,
}

impl Fake {
    /// A host's end, and a guest that has not sent anything.
    fn pair() -> (Agent, Self) {
        let (host, stream) = UnixStream::pair().unwrap();
        (Agent::new(host), Self { stream, decoder: Decoder::default() })
    }

    /// The same, after the exchange of hellos.
    async fn ready() -> (Agent, Self) {
        let (agent, mut fake) = Self::pair();
        fake.greet().await;
        soon(agent.ready()).await.unwrap();
        (agent, fake)
    }

    async fn greet(&mut self) -> u64 {
        while !self.decoder.synchronise() {
            self.receive().await;
        }
        let (0, ToGuest::Hello { session, .. }) = self.hear().await else { panic!("a session begins with a hello") };
        self.say(0, hello(session)).await;
        session
    }

    async fn hear(&mut self) -> (u32, ToGuest) {
        loop {
            if let Some(message) = self.decoder.next().unwrap() {
                return message;
            }
            self.receive().await;
        }
    }

    async fn receive(&mut self) {
        let mut buffer = [0; 4096];
        let count = soon(self.stream.read(&mut buffer)).await.unwrap();
        assert!(count > 0, "the host has gone");
        self.decoder.push(&buffer[..count]);
    }

    async fn say(&mut self, channel: u32, message: FromGuest) {
        let mut frame = Vec::new();
        encode(channel, &message, &mut frame);
        soon(self.stream.write_all(&frame)).await.unwrap();
    }
}

fn hello(session: u64) -> FromGuest {
    let (hostname, failed) = (b"vm-001".to_vec(), vec![b"S50broken".to_vec()]);
    FromGuest::Hello(Hello { version: VERSION, session, uptime_ms: 2500, hostname, failed })
}

fn data(length: usize) -> FromGuest {
    FromGuest::Data { stream: Stream::Stdout, bytes: vec![b'x'; length] }
}

fn reason(error: ExecError) -> String {
    match error {
        ExecError::Lost { reason } => reason,
        other => panic!("not a loss: {other}"),
    }
}

#[tokio::test]
async fn readiness_reports_the_host_name_and_failed_scripts() {
    let (agent, mut fake) = Fake::pair();
    fake.greet().await;
    let ready = soon(agent.ready()).await.unwrap();
    assert_eq!(ready.hostname, "vm-001");
    assert_eq!(ready.uptime, Some(Duration::from_millis(2500)));
    assert_eq!(ready.failed, ["S50broken"]);
}

#[tokio::test]
async fn pending_commands_fail_at_once_when_the_vm_ends() {
    let (agent, mut fake) = Fake::ready().await;
    let execution = agent.exec(&"sleep 1000".into()).unwrap();
    fake.hear().await;
    drop(fake);
    let error = soon(execution.output()).await.unwrap_err();
    assert_eq!(reason(error), "its VM has ended");
    assert_eq!(reason(agent.exec(&"true".into()).unwrap_err()), "its VM has ended");
    assert_eq!(reason(soon(agent.ready()).await.unwrap_err()), "its VM has ended");
}

#[tokio::test]
async fn waiting_for_readiness_fails_at_once_when_the_vm_ends() {
    let (agent, fake) = Fake::pair();
    drop(fake);
    assert_eq!(reason(soon(agent.ready()).await.unwrap_err()), "its VM has ended");
}

#[tokio::test]
async fn garbage_ends_the_connection_with_a_reason() {
    let (agent, mut fake) = Fake::ready().await;
    let execution = agent.exec(&"true".into()).unwrap();
    fake.stream.write_all(b"login: root\r\nPassword: ").await.unwrap();
    let said = reason(soon(execution.output()).await.unwrap_err());
    assert!(said.starts_with("its agent sent a frame of"), "{said}");
}

#[tokio::test]
async fn another_version_is_refused_with_both_numbers() {
    let (agent, mut fake) = Fake::pair();
    fake.say(0, FromGuest::Hello(Hello { version: 99, ..Hello::default() })).await;
    let said = reason(soon(agent.ready()).await.unwrap_err());
    assert_eq!(said, format!("its agent has protocol version 99, this library has {VERSION}"));
}

/// Starts a command, sends these frames in its channel, and returns the host's reaction.
async fn answer(frames: Vec<FromGuest>) -> String {
    let (agent, mut fake) = Fake::ready().await;
    let mut execution = agent.exec(&"true".into()).unwrap();
    let (channel, _) = fake.hear().await;
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| encode(channel, frame, &mut bytes));
    // The host may close the connection while the frames are written.
    let _ = soon(fake.stream.write_all(&bytes)).await;
    soon(async {
        // Nothing is consumed before the host has handled all frames.
        let error = loop {
            if let Err(error) = agent.exec(&"true".into()) {
                break error;
            }
            tokio::task::yield_now().await;
        };
        while let Ok(Some(_)) = execution.next().await {}
        reason(error)
    })
    .await
}

#[tokio::test]
async fn data_without_credits_is_not_buffered() {
    let window = (0..WINDOW / cost(CHUNK) + 1).map(|_| data(CHUNK)).collect();
    assert_eq!(answer(window).await, "its agent sent more data than it had credits for");
    let empty = (0..WINDOW / cost(0) + 1).map(|_| data(0)).collect();
    assert_eq!(answer(empty).await, "its agent sent more data than it had credits for");
}

#[tokio::test]
async fn credits_for_data_that_was_not_sent_are_refused() {
    assert_eq!(
        answer(vec![FromGuest::Credit(u32::MAX)]).await,
        "its agent sent credits for data that was not sent to it"
    );
}

#[tokio::test]
async fn a_command_cannot_be_answered_as_a_file() {
    let opened = FromGuest::Opened { mode: 0, size: 0 };
    assert_eq!(answer(vec![opened]).await, "its agent sent the mode of a file that was not requested");
}

#[tokio::test]
async fn a_message_about_an_unknown_command_ends_the_connection() {
    let (agent, mut fake) = Fake::ready().await;
    let execution = agent.exec(&"true".into()).unwrap();
    let (channel, _) = fake.hear().await;
    fake.say(channel + 1, FromGuest::Ended(End::Code(0))).await;
    let said = reason(soon(execution.output()).await.unwrap_err());
    assert_eq!(said, "its agent sent a message about a command that does not exist");
}

#[tokio::test]
async fn late_messages_of_a_dropped_command_are_ignored() {
    let (agent, mut fake) = Fake::ready().await;
    let dropped = agent.exec(&"yes".into()).unwrap();
    let (channel, _) = fake.hear().await;
    drop(dropped);
    assert_eq!(fake.hear().await, (channel, ToGuest::Cancel));
    fake.say(channel, data(10)).await;
    fake.say(channel, FromGuest::Ended(End::Signal(9))).await;
    let next = agent.exec(&"true".into()).unwrap();
    let (channel, _) = fake.hear().await;
    fake.say(channel, FromGuest::Ended(End::Code(0))).await;
    assert!(soon(next.output()).await.unwrap().status.success());
}

#[tokio::test]
async fn a_restarted_agent_loses_running_commands_and_accepts_new_ones() {
    let (agent, mut fake) = Fake::ready().await;
    let lost = agent.exec(&"sleep 1000".into()).unwrap();
    fake.hear().await;
    fake.say(0, hello(0)).await;
    assert_eq!(reason(soon(lost.output()).await.unwrap_err()), "its agent was restarted");
    fake.greet().await;
    let next = agent.exec(&"true".into()).unwrap();
    let (channel, _) = fake.hear().await;
    fake.say(channel, FromGuest::Ended(End::Code(7))).await;
    assert_eq!(soon(next.output()).await.unwrap().status, Status::Code(7));
}

#[tokio::test]
async fn endless_hellos_do_not_use_up_memory() {
    let (agent, mut fake) = Fake::ready().await;
    let mut session = 0;
    let mut bytes = Vec::new();
    // It answers each session at once with a guessed number, and never reads.
    encode(0, &hello(0), &mut bytes);
    fake.stream.write_all(&bytes).await.unwrap();
    session = fake.greet().await.max(session);
    for next in 1..40_000 {
        bytes.clear();
        encode(0, &hello(0), &mut bytes);
        encode(0, &hello(session + next), &mut bytes);
        if fake.stream.write_all(&bytes).await.is_err() {
            break;
        }
    }
    drop(fake);
    let said = soon(async {
        loop {
            if let Err(error) = agent.exec(&"true".into()) {
                break reason(error);
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(said.await, "its agent restarts again and again");
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_end_is_never_reported_times_out_on_the_host() {
    let (agent, mut fake) = Fake::ready().await;
    let execution = agent.exec(&Command::from("sleep 1").timeout(Duration::from_secs(5))).unwrap();
    let (channel, _) = fake.hear().await;
    let begun = tokio::time::Instant::now();
    let error = execution.output().await.unwrap_err();
    assert_eq!(error.to_string(), "the guest's agent did not answer within 10s after the deadline");
    assert_eq!(begun.elapsed().as_secs(), 15);
    assert_eq!(fake.hear().await, (channel, ToGuest::Cancel));
}

#[tokio::test(start_paused = true)]
async fn a_guest_does_not_time_out_while_the_user_reads_slowly() {
    let (agent, mut fake) = Fake::ready().await;
    let mut execution = agent.exec(&Command::from("yes").timeout(Duration::from_secs(5))).unwrap();
    let (channel, _) = fake.hear().await;
    fake.say(channel, data(1000)).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(execution.next().await.unwrap(), Some(Event::Stdout(vec![b'x'; 1000])));
    fake.say(channel, FromGuest::Ended(End::TimedOut)).await;
    assert_eq!(execution.next().await.unwrap(), Some(Event::Exited(Status::TimedOut)));
    assert_eq!(execution.next().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_copy_without_progress_times_out() {
    let (agent, mut fake) = Fake::ready().await;
    let get = tokio::spawn(async move { agent.get(b"/x", &mut Vec::new()).await });
    assert!(matches!(fake.hear().await, (_, ToGuest::Get { .. })));
    assert!(matches!(get.await.unwrap().unwrap_err(), ExecError::Unresponsive { .. }));
}

#[tokio::test]
async fn a_command_that_is_too_long_for_a_frame_is_refused_by_the_host() {
    let (agent, _fake) = Fake::ready().await;
    let error = agent.exec(&Command::new("echo").arg("x".repeat(300_000))).unwrap_err();
    assert!(matches!(error, ExecError::TooLong { limit: 262_144, .. }));
}

#[tokio::test]
async fn a_command_with_too_much_collected_output_is_killed() {
    let (agent, mut fake) = Fake::ready().await;
    let execution = agent.exec(&Command::from("yes").max_output(1000)).unwrap();
    let (channel, _) = fake.hear().await;
    fake.say(channel, data(1001)).await;
    let error = soon(execution.output()).await.unwrap_err();
    assert_eq!(error.to_string(), "`yes` wrote more than 1000 bytes of output");
    assert_eq!(fake.hear().await, (channel, ToGuest::Cancel));
}

#[tokio::test]
async fn a_copy_that_is_dropped_is_never_complete() {
    let (agent, mut fake) = Fake::ready().await;
    let (mut source, reader) = tokio::io::duplex(64);
    let copier = agent.clone();
    let put = tokio::spawn(async move { copier.put(&mut { reader }, b"/x", 0o644).await });
    let (channel, _) = fake.hear().await;
    source.write_all(b"half").await.unwrap();
    assert_eq!(fake.hear().await, (channel, ToGuest::Data(b"half".into())));
    put.abort();
    assert_eq!(fake.hear().await, (channel, ToGuest::Cancel));
}
