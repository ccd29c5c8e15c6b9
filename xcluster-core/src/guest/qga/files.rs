//! Copies files in pieces.

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::client::{decode, encode};
use super::{Qga, nonsense};
use crate::guest::agent::Copied;
use crate::guest::exec::{Command, ExecError, Output};

/// How much of a file is in one message, in bytes.
const PIECE: usize = 256 * 1024;

/// Moves a complete file to its target, and follows a link.
const PLACE: &str = r#"to=$(readlink -f "$3" 2>/dev/null || echo "$3")
if [ -e "$to" ] && [ ! -f "$to" ]; then echo "not a regular file" >&2; rm -f "$2"; exit 1; fi
chmod "$1" "$2" && mv -f "$2" "$to" || { rm -f "$2"; exit 1; }"#;

impl Qga {
    /// Writes a file of the guest, completely or not at all: first a `.part` beside the target, which is then renamed. An
    /// interrupted copy leaves the `.part` behind, because qemu-ga does not notice the interruption.
    pub(crate) async fn put(
        &self,
        source: &mut (impl AsyncRead + Unpin),
        path: &[u8],
        mode: u32,
    ) -> Result<Copied, ExecError> {
        let path = String::from_utf8_lossy(path);
        let part = format!("{path}.{:x}.part", std::process::id());
        let file = self.open(&part, "w").await?;
        let written = self.write(&file, source).await;
        let closed = self.call("guest-file-close", json!({ "handle": file })).await;
        let bytes = match written.and_then(|bytes| closed.map(|_| bytes)) {
            Ok(bytes) => bytes,
            Err(error) => {
                // Only the first error is reported.
                let _ = self.output(Command::new("rm").args(["-f", &part])).await;
                return Err(error);
            }
        };
        let place = Command::new("sh").args(["-c", PLACE, "sh", &format!("{mode:o}"), &part, &path]);
        self.output(place).await?.ok()?;
        Ok(Copied { bytes, mode })
    }

    /// Reads a file of the guest into the sink.
    pub(crate) async fn get(&self, path: &[u8], sink: &mut (impl AsyncWrite + Unpin)) -> Result<Copied, ExecError> {
        let path = String::from_utf8_lossy(path);
        let mode = self.output(Command::new("stat").args(["-L", "-c", "%a %F", &path])).await?.ok()?;
        let text = mode.text();
        let (mode, kind) = text.split_once(' ').ok_or_else(|| nonsense("stat"))?;
        let mode = u32::from_str_radix(mode, 8).map_err(|_| nonsense("stat"))?;
        if !kind.starts_with("regular") {
            return Err(ExecError::Incomplete { what: format!("cannot read `{path}`: not a regular file") });
        }
        let file = self.open(&path, "r").await?;
        let read = self.read(&file, sink).await;
        let closed = self.call("guest-file-close", json!({ "handle": file })).await;
        let bytes = read?;
        closed?;
        Ok(Copied { bytes, mode })
    }

    async fn open(&self, path: &str, mode: &str) -> Result<Value, ExecError> {
        self.call("guest-file-open", json!({ "path": path, "mode": mode })).await
    }

    async fn write(&self, file: &Value, source: &mut (impl AsyncRead + Unpin)) -> Result<u64, ExecError> {
        let (mut buffer, mut total) = (vec![0; PIECE], 0);
        loop {
            let read = source.read(&mut buffer).await;
            let count = read.map_err(|source| of_host("cannot read the file to copy", source))?;
            if count == 0 {
                break;
            }
            let piece = json!({ "handle": file, "buf-b64": encode(&buffer[..count]) });
            let written = self.call("guest-file-write", piece).await?;
            if written["count"] != count {
                let what = format!("only {} of {count} bytes were written at offset {total}", written["count"]);
                return Err(ExecError::Incomplete { what });
            }
            total += count as u64;
        }
        self.call("guest-file-flush", json!({ "handle": file })).await?;
        Ok(total)
    }

    async fn read(&self, file: &Value, sink: &mut (impl AsyncWrite + Unpin)) -> Result<u64, ExecError> {
        let mut total = 0;
        loop {
            let read = self.call("guest-file-read", json!({ "handle": file, "count": PIECE })).await?;
            let piece = decode(&read["buf-b64"]).ok_or_else(|| nonsense("guest-file-read"))?;
            sink.write_all(&piece).await.map_err(|source| of_host("cannot write the copy", source))?;
            total += piece.len() as u64;
            if read["eof"] == true {
                break;
            }
            if piece.is_empty() {
                return Err(nonsense("guest-file-read"));
            }
        }
        sink.flush().await.map_err(|source| of_host("cannot write the copy", source))?;
        Ok(total)
    }

    async fn output(&self, command: Command) -> Result<Output, ExecError> {
        self.exec(&command)?.output().await
    }
}

fn of_host(what: &str, source: std::io::Error) -> ExecError {
    ExecError::Host { what: what.into(), source }
}
