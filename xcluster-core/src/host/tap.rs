//! Taps with a name that another program made: finding one, handing one over to another process, and removing one, which its
//! owner may do without privilege.

use std::fs::File;
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
    nix::ioctl_read_bad!(
        /// `TUNGETIFF` of linux/if_tun.h, which says `unsigned int` and fills a `struct ifreq`.
        tun_get_iff,
        nix::request_code_read!(b'T', 210, size_of::<libc::c_uint>()),
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
/// The kernel does not answer.
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

/// Removes the tap of this name, if there is one. The caller must be its owner. Links of another kind are left alone.
///
/// Returns whether it is gone. A process that was forked meanwhile has a copy of the descriptor until it executes a program.
///
/// # Errors
/// It belongs to another user, is in use (`ResourceBusy`), or is not a tap.
pub fn remove_tap(namespace: &Namespace, name: &str) -> io::Result<bool> {
    if !has_link(namespace, name)? {
        return Ok(true);
    }
    let tun = namespace.tun().map_err(io::Error::other)?;
    // Attaching requires the tap's kind, which only an attached descriptor can report; so both are tried.
    match attach(&tun, name, 0) {
        Err(Errno::EINVAL) => attach(&tun, name, libc::IFF_MULTI_QUEUE)?,
        attached => attached?,
    }
    // A tap that is not persistent goes with its last descriptor, which is ours.
    // SAFETY: the descriptor is open, and the request takes a number.
    unsafe { ioctl::tun_set_persist(tun.as_raw_fd(), 0) }?;
    drop(tun);
    has_link(namespace, name).map(|there| !there)
}

/// Makes a tap persistent, and closes its queues here, which `queues` must all contain. While a queue is open here, no other
/// process can open the tap by its name. Returns the name.
///
/// # Errors
/// It is not a tap, or the kernel refuses.
pub(crate) fn keep_tap(queues: &[&OwnedFd]) -> io::Result<String> {
    let first = queues.first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut request = request("", 0)?;
    // SAFETY: the descriptor is open, and the structure is what the request fills.
    unsafe { ioctl::tun_get_iff(first.as_raw_fd(), &raw mut request) }?;
    let name: Vec<u8> =
        request.ifr_name.iter().map(|byte| byte.cast_unsigned()).take_while(|byte| *byte != 0).collect();
    let name = String::from_utf8(name).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open, and the request takes a number.
    unsafe { ioctl::tun_set_persist(first.as_raw_fd(), 1) }?;
    let nowhere = File::open("/dev/null")?;
    for queue in queues {
        // SAFETY: both descriptors are open, and stay so: the owner of the queue closes its number, whatever file it leads to.
        let replaced = unsafe { libc::dup3(nowhere.as_raw_fd(), queue.as_raw_fd(), libc::O_CLOEXEC) };
        Errno::result(replaced)?;
    }
    Ok(name)
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

    /// Makes a link there, as a user would.
    fn ip(namespace: &Namespace, args: &str) {
        let mut command = Command::new("ip");
        command.args(args.split(' ')).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        namespace.inside().unwrap().unwrap().enter(&mut command);
        assert!(command.status().unwrap().success(), "ip {args}");
    }

    #[test]
    fn a_tap_that_stays_is_removed_by_name() {
        let namespace = Namespace::private().unwrap();
        for queues in ["", " multi_queue", " vnet_hdr"] {
            ip(&namespace, &format!("tuntap add xcbr1_t3 mode tap{queues}"));
            assert!(has_link(&namespace, "xcbr1_t3").unwrap());
            let removed = remove_tap(&namespace, "xcbr1_t3").unwrap();
            // Other tests fork. There is no event for when such a child executes a program.
            let deadline = Instant::now() + Duration::from_secs(10);
            while has_link(&namespace, "xcbr1_t3").unwrap() {
                assert!(!removed && Instant::now() < deadline, "{queues}");
                std::thread::yield_now();
            }
        }
        assert!(remove_tap(&namespace, "xcbr1_t3").unwrap());
    }

    #[test]
    fn a_tap_that_lives_by_descriptors_can_be_kept_and_opened_by_name() {
        let namespace = Namespace::private().unwrap();
        for flags in [0, libc::IFF_MULTI_QUEUE] {
            let queues: Vec<OwnedFd> = (0..if flags == 0 { 1 } else { 2 }).map(|_| namespace.tun().unwrap()).collect();
            queues.iter().for_each(|queue| attach(queue, "kept", flags | libc::IFF_VNET_HDR).unwrap());
            assert_eq!(keep_tap(&queues.iter().collect::<Vec<_>>()).unwrap(), "kept");
            // Another process opens it, as QEMU does, while we still have the descriptors.
            attach(&namespace.tun().unwrap(), "kept", flags | libc::IFF_VNET_HDR).unwrap();
            drop(queues);
            assert!(has_link(&namespace, "kept").unwrap());
            let deadline = Instant::now() + Duration::from_secs(10);
            while !remove_tap(&namespace, "kept").unwrap() {
                assert!(Instant::now() < deadline);
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn what_is_no_tap_has_no_name_to_keep() {
        let file = OwnedFd::from(File::open("/dev/null").unwrap());
        assert!(keep_tap(&[&file]).is_err());
        assert!(keep_tap(&[]).is_err());
    }

    #[test]
    fn what_is_no_tap_is_left_alone() {
        let namespace = Namespace::private().unwrap();
        ip(&namespace, "link add xcbr1_t3 type bridge");
        assert!(remove_tap(&namespace, "xcbr1_t3").is_err());
        assert!(has_link(&namespace, "xcbr1_t3").unwrap());
    }
}
