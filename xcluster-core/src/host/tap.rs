//! Taps that somebody else has made and that have a name: whether one is there, and its removal, for which one need only be
//! its owner. Makes none.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use super::Namespace;

mod ioctl {
    use nix::libc;

    nix::ioctl_write_ptr_bad!(
        /// `TUNSETIFF` of linux/if_tun.h, which says `int` and takes a `struct ifreq`.
        tun_set_iff,
        nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
        libc::ifreq
    );
    nix::ioctl_write_int_bad!(
        /// `TUNSETPERSIST` of linux/if_tun.h.
        tun_set_persist,
        nix::request_code_write!(b'T', 203, size_of::<libc::c_int>())
    );
    nix::ioctl_read_bad!(
        /// `SIOCGIFINDEX` of netdevice(7).
        link_index,
        libc::SIOCGIFINDEX,
        libc::ifreq
    );
}

/// Whether a namespace has a link of this name.
///
/// # Errors
/// The kernel does not say.
pub fn has_link(namespace: &Namespace, name: &str) -> io::Result<bool> {
    let socket = namespace.socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut request = request(name, 0)?;
    // SAFETY: the descriptor is open, and the structure is what the request takes.
    match unsafe { ioctl::link_index(socket.as_raw_fd(), &raw mut request) } {
        Ok(_) => Ok(true),
        Err(Errno::ENODEV) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes a tap of this name, if it is there, as its owner may. Other links are left alone.
///
/// Whether it is gone: a process that was forked meanwhile has a copy of the descriptor until it executes a program.
///
/// # Errors
/// It is somebody else's, or in use (`ResourceBusy`), or no tap.
pub fn remove_tap(namespace: &Namespace, name: &str) -> io::Result<bool> {
    if !has_link(namespace, name)? {
        return Ok(true);
    }
    let tun = namespace.tun().map_err(io::Error::other)?;
    // A tap is had by those who name its kind, which one cannot ask for without having it.
    match attach(&tun, name, 0) {
        Err(Errno::EINVAL) => attach(&tun, name, libc::IFF_MULTI_QUEUE)?,
        attached => attached?,
    }
    // With the last descriptor, which is ours, a tap goes that is not to stay.
    // SAFETY: the descriptor is open, and the request takes a number.
    unsafe { ioctl::tun_set_persist(tun.as_raw_fd(), 0) }?;
    drop(tun);
    has_link(namespace, name).map(|there| !there)
}

fn attach(tun: &OwnedFd, name: &str, flags: libc::c_int) -> nix::Result<()> {
    let request = request(name, libc::IFF_TAP | libc::IFF_NO_PI | flags).map_err(|_| Errno::ENAMETOOLONG)?;
    // SAFETY: the descriptor is open, and the structure is what the request takes.
    unsafe { ioctl::tun_set_iff(tun.as_raw_fd(), &raw const request) }.map(drop)
}

fn request(name: &str, flags: libc::c_int) -> io::Result<libc::ifreq> {
    // SAFETY: zeros are a valid value of this structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (flags as u16).cast_signed();
    Ok(request)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;

    /// Makes a link in there as people do.
    fn ip(namespace: &Namespace, words: &str) {
        let mut command = Command::new("ip");
        command.args(words.split(' ')).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        namespace.inside().unwrap().unwrap().enter(&mut command);
        assert!(command.status().unwrap().success(), "ip {words}");
    }

    #[test]
    fn a_tap_that_stays_is_removed_by_name() {
        let namespace = Namespace::private().unwrap();
        for queues in ["", " multi_queue", " vnet_hdr"] {
            ip(&namespace, &format!("tuntap add xcbr1_t3 mode tap{queues}"));
            assert!(has_link(&namespace, "xcbr1_t3").unwrap());
            let removed = remove_tap(&namespace, "xcbr1_t3").unwrap();
            // Other tests fork, and nobody tells when such a child is on its way.
            let deadline = Instant::now() + Duration::from_secs(10);
            while has_link(&namespace, "xcbr1_t3").unwrap() {
                assert!(!removed && Instant::now() < deadline, "{queues}");
                std::thread::yield_now();
            }
        }
        assert!(remove_tap(&namespace, "xcbr1_t3").unwrap());
    }

    #[test]
    fn what_is_no_tap_is_left_alone() {
        let namespace = Namespace::private().unwrap();
        ip(&namespace, "link add xcbr1_t3 type bridge");
        assert!(remove_tap(&namespace, "xcbr1_t3").is_err());
        assert!(has_link(&namespace, "xcbr1_t3").unwrap());
    }
}
