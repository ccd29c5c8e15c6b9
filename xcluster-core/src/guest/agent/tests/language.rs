//! Tests of the protocol's frames.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::guest::protocol::codec::Message;
use crate::guest::protocol::{
    CHUNK, Decoder, End, Exec, FromGuest, HEADER, Hello, MAGIC, MAX_BODY, Stream, ToGuest, encode,
};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

fn to_guest() -> impl Strategy<Value = ToGuest> {
    let exec = (vec(bytes(), 0..5), vec((bytes(), bytes()), 0..5), bytes(), any::<bool>(), any::<u64>());
    prop_oneof![
        (any::<u32>(), any::<u64>()).prop_map(|(version, session)| ToGuest::Hello { version, session }),
        exec.prop_map(|(argv, env, cwd, stdin, timeout_ms)| ToGuest::Exec(Exec { argv, env, cwd, stdin, timeout_ms })),
        (bytes(), any::<u32>()).prop_map(|(path, mode)| ToGuest::Put { path, mode }),
        bytes().prop_map(|path| ToGuest::Get { path }),
        bytes().prop_map(ToGuest::Data),
        any::<u64>().prop_map(|total| ToGuest::Eof { total }),
        any::<u32>().prop_map(ToGuest::Credit),
        any::<i32>().prop_map(ToGuest::Signal),
        Just(ToGuest::Cancel),
    ]
}

fn from_guest() -> impl Strategy<Value = FromGuest> {
    let hello = (any::<u32>(), any::<u64>(), any::<u64>(), bytes(), vec(bytes(), 0..5));
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let end = prop_oneof![any::<i32>().prop_map(End::Code), any::<i32>().prop_map(End::Signal), Just(End::TimedOut)];
    prop_oneof![
        hello.prop_map(|(version, session, uptime_ms, hostname, failed)| {
            FromGuest::Hello(Hello { version, session, uptime_ms, hostname, failed })
        }),
        (stream, bytes()).prop_map(|(stream, bytes)| FromGuest::Data { stream, bytes }),
        any::<u32>().prop_map(FromGuest::Credit),
        Just(FromGuest::InputClosed),
        (any::<u32>(), any::<u64>()).prop_map(|(mode, size)| FromGuest::Opened { mode, size }),
        end.prop_map(FromGuest::Ended),
        any::<u64>().prop_map(|total| FromGuest::Complete { total }),
        (any::<i32>(), bytes()).prop_map(|(errno, text)| FromGuest::Failed { errno, text }),
    ]
}

/// Decodes bytes that arrive in pieces of this size.
fn decode<M: Message>(bytes: &[u8], piece: usize) -> Vec<(u32, M)> {
    let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        while let Some(message) = decoder.next().expect("what was encoded is well-formed") {
            messages.push(message);
        }
    }
    messages
}

proptest! {
    #[test]
    fn messages_of_the_host_are_decoded_from_pieces_of_any_size(
        messages in vec((any::<u32>(), to_guest()), 1..8), piece in 1..700_usize,
    ) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|(channel, message)| encode(*channel, message, &mut bytes));
        prop_assert_eq!(decode(&bytes, piece), messages);
    }

    #[test]
    fn messages_of_the_agent_are_decoded_from_pieces_of_any_size(
        messages in vec((any::<u32>(), from_guest()), 1..8), piece in 1..700_usize,
    ) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|(channel, message)| encode(*channel, message, &mut bytes));
        prop_assert_eq!(decode(&bytes, piece), messages);
    }

    #[test]
    fn garbage_causes_an_error_or_waiting_and_never_a_panic(garbage in vec(any::<u8>(), 0..2000), kind in any::<u8>()) {
        let mut decoder = Decoder::default();
        decoder.push(&garbage);
        while let Ok(Some(_)) = decoder.next::<FromGuest>() {}
        // The same garbage as the body of a valid frame.
        let mut frame = (garbage.len() as u32).to_le_bytes().to_vec();
        frame.extend([1, 0, 0, 0, kind]);
        frame.extend(&garbage);
        let mut decoder = Decoder::default();
        decoder.push(&frame);
        let _ = decoder.next::<FromGuest>();
        let mut decoder = Decoder::default();
        decoder.push(&frame);
        let _ = decoder.next::<ToGuest>();
    }

    #[test]
    fn a_session_can_begin_after_any_garbage(garbage in vec(any::<u8>(), 0..200), piece in 1..40_usize) {
        let mut bytes = garbage.clone();
        bytes.extend(MAGIC);
        let mut decoder = Decoder::default();
        let found = bytes.chunks(piece).map(|piece| { decoder.push(piece); decoder.synchronise() }).filter(|found| *found);
        prop_assert_eq!(found.count(), 1);
    }
}

#[test]
fn a_list_is_not_longer_than_its_bytes() {
    // A hello whose list of failed scripts claims to have four thousand million entries.
    let mut frame = vec![0; HEADER + 4 + 8 + 8 + 4];
    frame.extend([0xff; 4]);
    let length = (frame.len() - HEADER) as u32;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[8] = 129;
    let mut decoder = Decoder::default();
    decoder.push(&frame);
    assert!(decoder.next::<FromGuest>().is_err());
}

#[test]
fn a_frame_that_is_too_long_is_refused_by_its_header() {
    let mut decoder = Decoder::default();
    decoder.push(&(MAX_BODY as u32 + 1).to_le_bytes());
    decoder.push(&[1, 0, 0, 0, 130]);
    let error = decoder.next::<FromGuest>().unwrap_err();
    assert_eq!(error.to_string(), "a frame of 262145 bytes where at most 262144 are allowed");
}

#[test]
fn a_full_chunk_fits_into_one_buffer_of_a_virtio_port() {
    let mut frame = Vec::new();
    encode(1, &FromGuest::Data { stream: Stream::Stdout, bytes: vec![0; CHUNK] }, &mut frame);
    assert_eq!(frame.len(), 32 * 1024);
}
