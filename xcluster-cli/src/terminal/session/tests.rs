//! Sessions between a user and a server in one process, over a pair of sockets.

use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::super::telnet::Telnet;
use super::*;

/// Runs a session with these events and the server `serve`; returns the user's output.
async fn session<F: Future<Output = ()>>(
    protocol: impl TerminalProtocol,
    interactive: bool,
    events: Vec<Event>,
    serve: impl FnOnce(UnixStream) -> F,
) -> (End, String) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (sender, receiver) = mpsc::channel(16);
    for event in events {
        sender.send(event).await.unwrap();
    }
    let mut seen = Vec::new();
    let user = join(ours, protocol, Input { events: receiver, interactive }, &mut seen);
    let (end, ()) = tokio::join!(user, serve(theirs));
    drop(sender);
    (end.unwrap(), String::from_utf8(seen).unwrap())
}

async fn expect(server: &mut UnixStream, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    server.read_exact(&mut received).await.unwrap();
    assert_eq!(received, expected);
}

#[tokio::test]
async fn input_reaches_the_server_and_its_answer_reaches_the_user() {
    let events = vec![Event::Bytes(b"hostname\r".to_vec())];
    let (end, seen) = session(Telnet::new("vt100", true), true, events, |mut server| async move {
        server.write_all(&[255, 251, 1, b'#', b' ']).await.unwrap();
        let mut received = vec![0; b"hostname\r\0".len() + 3];
        server.read_exact(&mut received).await.unwrap();
        received.sort_unstable();
        let mut expected = b"hostname\r\0\xff\xfd\x01".to_vec();
        expected.sort_unstable();
        assert_eq!(received, expected);
        server.write_all(b"vm-002\r\n").await.unwrap();
    })
    .await;
    assert_eq!((end, seen.as_str()), (End::Remote, "# vm-002\r\n"));
}

#[tokio::test]
async fn the_escape_key_ends_a_session_and_is_not_sent() {
    let events = vec![Event::Bytes(b"ab\x1dcd".to_vec())];
    let (end, _) = session(Plain, true, events, |server| async move { drop(server) }).await;
    assert!(matches!(end, End::User | End::Remote));
    let (ours, _server) = UnixStream::pair().unwrap();
    let (sender, receiver) = mpsc::channel(1);
    sender.send(Event::Bytes(vec![ESCAPE])).await.unwrap();
    let end = join(ours, Plain, Input { events: receiver, interactive: true }, io::sink()).await.unwrap();
    assert_eq!(end, End::User);
}

#[tokio::test]
async fn a_file_may_contain_the_escape_key() {
    let events = vec![Event::Bytes(vec![b'a', ESCAPE, b'b']), Event::End];
    let (end, _) = session(Plain, false, events, |mut server| async move {
        expect(&mut server, &[b'a', ESCAPE, b'b']).await;
    })
    .await;
    assert_eq!(end, End::Remote);
}

#[tokio::test]
async fn piped_commands_end_the_shell_at_its_prompt() {
    let events = vec![Event::Bytes(b"id\n".to_vec()), Event::End];
    let (end, seen) = session(Telnet::new("dumb", false), false, events, |mut server| async move {
        expect(&mut server, b"id\r\n\x04").await;
        // The shell was busy and dropped the end of input; after the prompt it is sent again.
        server.write_all(b"uid=0\r\n# ").await.unwrap();
        expect(&mut server, b"\x04").await;
    })
    .await;
    assert_eq!((end, seen.as_str()), (End::Remote, "uid=0\r\n# "));
}

#[tokio::test]
async fn a_server_that_reads_nothing_blocks_a_file_but_not_its_own_output() {
    let chunk = Event::Bytes(vec![b'x'; 64 * 1024]);
    let (end, seen) = session(Plain, false, vec![chunk; 16], |mut server| async move {
        for _ in 0..100 {
            server.write_all(b"hello ").await.unwrap();
        }
    })
    .await;
    assert_eq!((end, seen.len()), (End::Remote, 600));
}
