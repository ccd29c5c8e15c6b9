//! The body of each kind of frame, field by field.

use super::codec::{Body, Message, put_bytes, put_count};
use super::{End, Exec, FromGuest, Hello, Stream, ToGuest};

impl Message for ToGuest {
    fn write(&self, body: &mut Vec<u8>) -> u8 {
        match self {
            Self::Hello { version, session } => {
                body.extend_from_slice(&version.to_le_bytes());
                body.extend_from_slice(&session.to_le_bytes());
                1
            }
            Self::Exec(exec) => {
                exec.write(body);
                2
            }
            Self::Put { path, mode } => {
                body.extend_from_slice(&mode.to_le_bytes());
                body.extend_from_slice(path);
                3
            }
            Self::Get { path } => {
                body.extend_from_slice(path);
                4
            }
            Self::Data(bytes) => {
                body.extend_from_slice(bytes);
                5
            }
            Self::Eof { total } => {
                body.extend_from_slice(&total.to_le_bytes());
                6
            }
            Self::Credit(credit) => {
                body.extend_from_slice(&credit.to_le_bytes());
                7
            }
            Self::Signal(signal) => {
                body.extend_from_slice(&signal.to_le_bytes());
                8
            }
            Self::Cancel => 9,
        }
    }

    fn read(kind: u8, body: &mut Body<'_>) -> Option<Self> {
        Some(match kind {
            1 => Self::Hello { version: body.u32(), session: body.u64() },
            2 => Self::Exec(Exec::read(body)),
            3 => Self::Put { mode: body.u32(), path: body.rest() },
            4 => Self::Get { path: body.rest() },
            5 => Self::Data(body.rest()),
            6 => Self::Eof { total: body.u64() },
            7 => Self::Credit(body.u32()),
            8 => Self::Signal(body.i32()),
            9 => Self::Cancel,
            _ => return None,
        })
    }
}

impl Exec {
    fn write(&self, body: &mut Vec<u8>) {
        put_count(body, self.argv.len());
        for argument in &self.argv {
            put_bytes(body, argument);
        }
        put_count(body, self.env.len());
        for (name, value) in &self.env {
            put_bytes(body, name);
            put_bytes(body, value);
        }
        put_bytes(body, &self.cwd);
        body.push(self.stdin.into());
        body.extend_from_slice(&self.timeout_ms.to_le_bytes());
    }

    fn read(body: &mut Body<'_>) -> Self {
        Self {
            argv: body.list(Body::bytes),
            env: body.list(|body| (body.bytes(), body.bytes())),
            cwd: body.bytes(),
            stdin: body.choice(&[false, true]),
            timeout_ms: body.u64(),
        }
    }
}

impl Message for FromGuest {
    fn write(&self, body: &mut Vec<u8>) -> u8 {
        match self {
            Self::Hello(hello) => {
                hello.write(body);
                129
            }
            Self::Data { stream, bytes } => {
                body.extend_from_slice(bytes);
                match stream {
                    Stream::Stdout => 130,
                    Stream::Stderr => 131,
                }
            }
            Self::Credit(credit) => {
                body.extend_from_slice(&credit.to_le_bytes());
                132
            }
            Self::InputClosed => 133,
            Self::Opened { mode, size } => {
                body.extend_from_slice(&mode.to_le_bytes());
                body.extend_from_slice(&size.to_le_bytes());
                134
            }
            Self::Ended(end) => {
                let (how, value) = match end {
                    End::Code(code) => (0, *code),
                    End::Signal(signal) => (1, *signal),
                    End::TimedOut => (2, 0),
                };
                body.push(how);
                body.extend_from_slice(&value.to_le_bytes());
                135
            }
            Self::Complete { total } => {
                body.extend_from_slice(&total.to_le_bytes());
                136
            }
            Self::Failed { errno, text } => {
                body.extend_from_slice(&errno.to_le_bytes());
                body.extend_from_slice(text);
                137
            }
        }
    }

    fn read(kind: u8, body: &mut Body<'_>) -> Option<Self> {
        Some(match kind {
            129 => Self::Hello(Hello::read(body)),
            130 => Self::Data { stream: Stream::Stdout, bytes: body.rest() },
            131 => Self::Data { stream: Stream::Stderr, bytes: body.rest() },
            132 => Self::Credit(body.u32()),
            133 => Self::InputClosed,
            134 => Self::Opened { mode: body.u32(), size: body.u64() },
            135 => Self::Ended(End::read(body)),
            136 => Self::Complete { total: body.u64() },
            137 => Self::Failed { errno: body.i32(), text: body.rest() },
            _ => return None,
        })
    }
}

impl Hello {
    fn write(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(&self.version.to_le_bytes());
        body.extend_from_slice(&self.session.to_le_bytes());
        body.extend_from_slice(&self.uptime_ms.to_le_bytes());
        put_bytes(body, &self.hostname);
        put_count(body, self.failed.len());
        for script in &self.failed {
            put_bytes(body, script);
        }
    }

    fn read(body: &mut Body<'_>) -> Self {
        Self {
            version: body.u32(),
            session: body.u64(),
            uptime_ms: body.u64(),
            hostname: body.bytes(),
            failed: body.list(Body::bytes),
        }
    }
}

impl End {
    fn read(body: &mut Body<'_>) -> Self {
        let how = body.choice(&[0, 1, 2]);
        let value = body.i32();
        match how {
            0 => Self::Code(value),
            1 => Self::Signal(value),
            _ => Self::TimedOut,
        }
    }
}
