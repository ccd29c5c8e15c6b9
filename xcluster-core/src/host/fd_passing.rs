//! Passes descriptors between processes over a UNIX socket (`SCM_RIGHTS` of unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// The most descriptors in one message. The kernel allows 253.
pub const BATCH_MAX: usize = 64;

/// Sends one byte or more, with descriptors. On a non-blocking stream, `WouldBlock` means that nothing was sent.
///
/// # Errors
/// The other end is closed, or its buffer is full.
pub fn send(to: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let control = [ControlMessage::ScmRights(&numbers)];
    let control = if numbers.is_empty() { &[] } else { &control[..] };
    let to = to.as_fd().as_raw_fd();
    Ok(sendmsg::<()>(to, &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Receives bytes and the descriptors that came with them, close-on-exec. Does not block.
///
/// # Errors
/// Nothing has arrived (`WouldBlock`), or the socket failed.
pub fn receive(from: impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut parts = [IoSliceMut::new(bytes)];
    let mut room = nix::cmsg_space!([RawFd; BATCH_MAX]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(from.as_fd().as_raw_fd(), &mut parts, Some(&mut room), flags)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel has just opened these descriptors for us, and no other code knows their numbers.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok((message.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_arrives_with_its_bytes() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        send(&here, b"x", &[reader.as_fd()]).unwrap();
        let mut byte = [0];
        let (count, descriptors) = receive(&there, &mut byte).unwrap();
        assert_eq!((count, byte, descriptors.len()), (1, *b"x", 1));
        writer.write_all(b"through").unwrap();
        drop(writer);
        let mut said = String::new();
        File::from(descriptors.into_iter().next().unwrap()).read_to_string(&mut said).unwrap();
        assert_eq!(said, "through");
        // Both ends belonged to one pipe.
        assert_eq!(reader.read(&mut byte).unwrap(), 0);
    }

    #[test]
    fn receiving_does_not_block() {
        let (_here, there) = UnixStream::pair().unwrap();
        assert_eq!(receive(&there, &mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
