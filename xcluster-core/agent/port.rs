//! The descriptor to the host: a virtio port or an inherited socket. It reads and writes bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::PathBuf;

use crate::protocol::PORT;
use crate::sys;

/// A non-blocking byte stream to the host.
#[derive(Debug)]
pub(crate) struct Port {
    file: File,
    returns: bool,
}

impl Port {
    /// Opens the guest's port. Waits until it exists: virtio announces ports some time after the driver is loaded.
    pub(crate) fn open() -> io::Result<Self> {
        let mut events = sys::device_events()?;
        let path = loop {
            if let Some(path) = device() {
                break path;
            }
            // An overrun (ENOBUFS) also means that devices were announced.
            match events.read(&mut [0; 8192]) {
                Err(error) if error.raw_os_error() != Some(105) && error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error);
                }
                _ => {}
            }
        };
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        sys::set_nonblocking(file.as_fd(), true)?;
        Ok(Self { file, returns: true })
    }

    /// Uses an inherited socket. The agent ends when its peer is closed.
    pub(crate) fn inherited(fd: RawFd) -> io::Result<Self> {
        let file = sys::inherited(fd)?;
        sys::set_nonblocking(file.as_fd(), true)?;
        Ok(Self { file, returns: false })
    }

    /// Reads bytes from the host: `None` if there are none yet, 0 if there is no host.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.file.read(buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if is_transient(&error) => Ok(None),
            Err(error) if !self.returns && error.kind() == io::ErrorKind::ConnectionReset => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Writes as much as the host's side takes without blocking.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Err(error) if is_transient(&error) => Ok(0),
            // The next read notices that the peer is closed.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            written => written,
        }
    }

    /// Sends `greeting` as soon as there is a host again. Returns false if there will be none.
    ///
    /// Poll always reports a virtio port without a host as hung up, and a read returns at once, so a loop with either would use a
    /// whole core. A blocking write sleeps until the host opens its side.
    pub(crate) fn greet_next_host(&mut self, greeting: &[u8]) -> io::Result<bool> {
        if !self.returns {
            return Ok(false);
        }
        sys::set_nonblocking(self.file.as_fd(), false)?;
        self.file.write_all(greeting)?;
        sys::set_nonblocking(self.file.as_fd(), true)?;
        Ok(true)
    }
}

impl AsRawFd for Port {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Returns the device of the port: the link that udev makes, or without udev the device with the port's name in sysfs.
fn device() -> Option<PathBuf> {
    let link = PathBuf::from(format!("/dev/virtio-ports/{PORT}"));
    if link.exists() {
        return Some(link);
    }
    fs::read_dir("/sys/class/virtio-ports").ok()?.flatten().find_map(|entry| {
        let name = fs::read_to_string(entry.path().join("name")).ok()?;
        let device = PathBuf::from("/dev").join(entry.file_name());
        (name.trim_end() == PORT && device.exists()).then_some(device)
    })
}
