//! The descriptor to the host: a virtio port, or one that was inherited. It moves bytes and knows nothing of frames.

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
    /// Opens the guest's port, waiting until the kernel has it: virtio announces ports some time after the driver is loaded.
    pub(crate) fn open() -> io::Result<Self> {
        let mut events = sys::device_events()?;
        let path = loop {
            if let Some(path) = device() {
                break path;
            }
            // An overrun (ENOBUFS) means that there was news, too.
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

    /// Takes a socket that was inherited; when its peer is gone, so is the agent.
    pub(crate) fn inherited(fd: RawFd) -> io::Result<Self> {
        let file = sys::inherited(fd)?;
        sys::set_nonblocking(file.as_fd(), true)?;
        Ok(Self { file, returns: false })
    }

    /// Bytes from the host: none yet, or an empty read when the host is not there.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.file.read(buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if is_transient(&error) => Ok(None),
            Err(error) if !self.returns && error.kind() == io::ErrorKind::ConnectionReset => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Writes what the host's side takes at once.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Err(error) if is_transient(&error) => Ok(0),
            // The read that follows sees that the peer is gone.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            written => written,
        }
    }

    /// Sends `greeting` as soon as there is a host again, or says that there will be none.
    ///
    /// Poll reports a virtio port without a host as hung up, always, and a read returns at once: waiting for either would burn
    /// a core. A blocking write is what the kernel lets sleep until the host side is opened.
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

/// The port's device: by the link that udev makes, else by the name in sysfs, where nobody runs udev.
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
