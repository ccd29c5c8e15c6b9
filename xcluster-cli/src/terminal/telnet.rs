//! A telnet client (RFC 854, 855, 857, 858, 1073, 1091) as a [`TerminalProtocol`]: a pure state machine over bytes. It accepts the
//! server's echo and suppress-go-ahead, sends window size and terminal type, and refuses all other options.

use super::session::TerminalProtocol;
use super::tty::Size;

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;

const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;
const TERMINAL_TYPE: u8 = 24;
const NAWS: u8 = 31;

/// Options that the server may turn on.
const THEIRS: [u8; 2] = [ECHO, SUPPRESS_GO_AHEAD];
/// Options that we turn on when asked.
const OURS: [u8; 3] = [SUPPRESS_GO_AHEAD, TERMINAL_TYPE, NAWS];

/// Bytes of a subnegotiation that are kept. Those that we understand have at most three.
const SUBNEGOTIATION_MAX: usize = 64;

/// Ctrl-D: the end of input.
const END_OF_INPUT: u8 = 4;

/// A telnet client.
#[derive(Debug)]
pub(crate) struct Telnet {
    state: State,
    terminal: String,
    /// Whether the input is a keyboard, whose return key sends CR. Otherwise lines end in LF.
    interactive: bool,
    size: Option<Size>,
    /// Options of the server that are on, and our own.
    theirs: Vec<u8>,
    ours: Vec<u8>,
    ended: bool,
}

/// The parser's position in the received bytes.
#[derive(Debug)]
enum State {
    Data,
    /// After CR: a following NUL belongs to it.
    Return,
    Command,
    /// After one of WILL, WONT, DO, DONT.
    Option(u8),
    Subnegotiation(Vec<u8>),
    /// After IAC in a subnegotiation.
    SubnegotiationCommand(Vec<u8>),
}

impl Telnet {
    /// A client for a terminal of this type, as `$TERM` names it.
    pub(crate) fn new(terminal: impl Into<String>, interactive: bool) -> Self {
        Self {
            state: State::Data,
            terminal: terminal.into(),
            interactive,
            size: None,
            theirs: Vec::new(),
            ours: Vec::new(),
            ended: false,
        }
    }

    fn byte(&mut self, byte: u8, data: &mut Vec<u8>, reply: &mut Vec<u8>) {
        self.state = match (std::mem::replace(&mut self.state, State::Data), byte) {
            (State::Return, 0) => State::Data,
            (State::Data | State::Return, IAC) => State::Command,
            (State::Data | State::Return, byte) => {
                data.push(byte);
                if byte == b'\r' { State::Return } else { State::Data }
            }
            (State::Command, IAC) => {
                data.push(IAC);
                State::Data
            }
            (State::Command, WILL | WONT | DO | DONT) => State::Option(byte),
            (State::Command, SB) => State::Subnegotiation(Vec::new()),
            // No operation, go ahead, are you there…: a terminal shows none of them.
            (State::Command, _) => State::Data,
            (State::Option(verb), option) => {
                self.negotiate(verb, option, reply);
                State::Data
            }
            (State::Subnegotiation(content), IAC) => State::SubnegotiationCommand(content),
            (State::Subnegotiation(mut content), byte) => {
                if content.len() < SUBNEGOTIATION_MAX {
                    content.push(byte);
                }
                State::Subnegotiation(content)
            }
            (State::SubnegotiationCommand(content), SE) => {
                self.subnegotiated(&content, reply);
                State::Data
            }
            (State::SubnegotiationCommand(mut content), _) => {
                content.push(byte);
                State::Subnegotiation(content)
            }
        };
    }

    /// Answers an option request. Only a change is acknowledged; otherwise both sides would answer for ever (RFC 854, page 3).
    fn negotiate(&mut self, verb: u8, option: u8, reply: &mut Vec<u8>) {
        let (wanted, supported, on, agree, refuse) = match verb {
            WILL | WONT => (verb == WILL, THEIRS.contains(&option), &mut self.theirs, DO, DONT),
            _ => (verb == DO, OURS.contains(&option), &mut self.ours, WILL, WONT),
        };
        let is_on = on.contains(&option);
        match (wanted, is_on) {
            (true, false) if supported => {
                on.push(option);
                reply.extend([IAC, agree, option]);
                if agree == WILL && option == NAWS {
                    self.send_size(reply);
                }
            }
            (true, false) => reply.extend([IAC, refuse, option]),
            (false, true) => {
                on.retain(|other| *other != option);
                reply.extend([IAC, refuse, option]);
            }
            _ => {}
        }
    }

    fn subnegotiated(&self, content: &[u8], reply: &mut Vec<u8>) {
        const SEND: u8 = 1;
        const IS: u8 = 0;
        if content == [TERMINAL_TYPE, SEND] && self.ours.contains(&TERMINAL_TYPE) {
            reply.extend([IAC, SB, TERMINAL_TYPE, IS]);
            reply.extend(self.terminal.bytes().filter(u8::is_ascii_graphic));
            reply.extend([IAC, SE]);
        }
    }

    fn send_size(&self, out: &mut Vec<u8>) {
        let Some(Size { columns, rows }) = self.size else { return };
        out.extend([IAC, SB, NAWS]);
        let numbers = columns.to_be_bytes().into_iter().chain(rows.to_be_bytes());
        numbers.for_each(|byte| escaped(byte, out));
        out.extend([IAC, SE]);
    }
}

fn escaped(byte: u8, out: &mut Vec<u8>) {
    out.push(byte);
    if byte == IAC {
        out.push(IAC);
    }
}

impl TerminalProtocol for Telnet {
    fn received(&mut self, bytes: &[u8], data: &mut Vec<u8>, reply: &mut Vec<u8>) {
        let before = data.len();
        for byte in bytes {
            self.byte(*byte, data, reply);
        }
        // A busy shell drops an end of input that arrives early. Output may be a prompt, so the end is sent again.
        if self.ended && data.len() > before {
            reply.push(END_OF_INPUT);
        }
    }

    fn typed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            match byte {
                // The return key does not send a line end (RFC 1123, 3.3.1).
                b'\r' => out.extend([b'\r', 0]),
                b'\n' if !self.interactive => out.extend(b"\r\n"),
                byte => escaped(*byte, out),
            }
        }
    }

    fn resized(&mut self, size: Size, out: &mut Vec<u8>) {
        self.size = Some(size);
        if self.ours.contains(&NAWS) {
            self.send_size(out);
        }
    }

    fn ended(&mut self, out: &mut Vec<u8>) {
        self.ended = true;
        out.push(END_OF_INPUT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Telnet {
        Telnet::new("xterm", true)
    }

    /// Checks the user's output and the answer to the server, for bytes in one piece and one by one.
    fn check(client: impl Fn() -> Telnet, received: &[u8], data: &[u8], reply: &[u8]) {
        for piece in [1, received.len().max(1)] {
            let (mut shown, mut answer, mut client) = (Vec::new(), Vec::new(), client());
            received.chunks(piece).for_each(|bytes| client.received(bytes, &mut shown, &mut answer));
            assert_eq!((shown.as_slice(), answer.as_slice()), (data, reply), "in pieces of {piece}");
        }
    }

    #[test]
    fn the_greeting_of_busybox_is_accepted() {
        let greeting = [IAC, DO, ECHO, IAC, DO, NAWS, IAC, WILL, ECHO, IAC, WILL, SUPPRESS_GO_AHEAD, b'$'];
        let reply = [IAC, WONT, ECHO, IAC, WILL, NAWS, IAC, DO, ECHO, IAC, DO, SUPPRESS_GO_AHEAD];
        check(client, &greeting, b"$", &reply);
    }

    #[test]
    fn the_window_size_is_sent_on_request_and_on_change() {
        let mut client = client();
        let (mut data, mut out) = (Vec::new(), Vec::new());
        client.resized(Size { columns: 80, rows: 24 }, &mut out);
        assert!(out.is_empty());
        client.received(&[IAC, DO, NAWS], &mut data, &mut out);
        assert_eq!(out, [IAC, WILL, NAWS, IAC, SB, NAWS, 0, 80, 0, 24, IAC, SE]);
        out.clear();
        // 255 columns: the byte is doubled, since a single 255 begins a command.
        client.resized(Size { columns: 255, rows: 24 }, &mut out);
        assert_eq!(out, [IAC, SB, NAWS, 0, IAC, IAC, 0, 24, IAC, SE]);
    }

    #[test]
    fn the_terminal_type_is_sent() {
        let asked = [IAC, DO, TERMINAL_TYPE, IAC, SB, TERMINAL_TYPE, 1, IAC, SE];
        let mut reply = vec![IAC, WILL, TERMINAL_TYPE, IAC, SB, TERMINAL_TYPE, 0];
        reply.extend(b"xterm");
        reply.extend([IAC, SE]);
        check(client, &asked, b"", &reply);
    }

    #[test]
    fn a_change_is_acknowledged_once() {
        check(client, &[IAC, WILL, ECHO, IAC, WILL, ECHO], b"", &[IAC, DO, ECHO]);
        check(client, &[IAC, WONT, ECHO], b"", &[]);
        check(client, &[IAC, WILL, ECHO, IAC, WONT, ECHO], b"", &[IAC, DO, ECHO, IAC, DONT, ECHO]);
        check(client, &[IAC, DO, 39, IAC, WILL, 0], b"", &[IAC, WONT, 39, IAC, DONT, 0]);
    }

    #[test]
    fn data_is_decoded() {
        check(client, b"a\r\0b\r\nc", b"a\rb\r\nc", b"");
        check(client, &[b'a', IAC, IAC, b'b', IAC, 241, b'c'], &[b'a', IAC, b'b', b'c'], b"");
    }

    #[test]
    fn an_endless_subnegotiation_is_not_kept() {
        let mut client = client();
        let (mut data, mut reply) = (Vec::new(), Vec::new());
        client.received(&[IAC, SB, 200], &mut data, &mut reply);
        client.received(&[7; 10_000], &mut data, &mut reply);
        assert!(matches!(&client.state, State::Subnegotiation(content) if content.len() <= SUBNEGOTIATION_MAX));
        client.received(&[IAC, SE, b'x'], &mut data, &mut reply);
        assert_eq!((data.as_slice(), reply.as_slice()), (&b"x"[..], &b""[..]));
    }

    #[test]
    fn keys_are_sent_unchanged_and_lines_with_crlf() {
        let typed = |interactive, bytes: &[u8]| {
            let mut out = Vec::new();
            Telnet::new("xterm", interactive).typed(bytes, &mut out);
            out
        };
        assert_eq!(typed(true, b"ls\r\x03"), b"ls\r\0\x03");
        assert_eq!(typed(false, b"ls\n"), b"ls\r\n");
        assert_eq!(typed(true, &[IAC]), [IAC, IAC]);
    }

    #[test]
    fn the_end_of_input_is_repeated_after_each_output() {
        let (mut client, mut data, mut out) = (client(), Vec::new(), Vec::new());
        client.ended(&mut out);
        client.received(b"# ", &mut data, &mut out);
        client.received(&[IAC, WILL, ECHO], &mut data, &mut out);
        assert_eq!(out, [END_OF_INPUT, END_OF_INPUT, IAC, DO, ECHO]);
    }
}
