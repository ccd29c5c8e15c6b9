//! The capabilities and IDs of a child between fork and exec (capabilities(7), credentials(7)). Only system calls.

use nix::errno::Errno;
use nix::libc;

/// The header and the data of capset(2), version 3: 64 bits in two halves.
#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h.
const CAP_VERSION: u32 = 0x2008_0522;
/// The number of capabilities in version 3.
const CAPS: libc::c_ulong = 64;
/// The ID that setresuid(2) reads as "unchanged".
const SAME: libc::c_long = -1;

/// Makes the capabilities of this process ambient. Others vanish when a user other than root executes a program.
pub(super) fn make_ambient() -> nix::Result<()> {
    let permitted = change(|half| half.inheritable = half.permitted)?;
    for capability in 0..CAPS {
        let half = permitted[usize::from(capability >= 32)];
        if half & (1 << (capability % 32)) != 0 {
            // SAFETY: a system call without pointers.
            let raised = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, capability, 0, 0) };
            Errno::result(raised)?;
        }
    }
    Ok(())
}

/// Acts as this user and group with the privileges of this process. The next user namespace is then owned by the user, also
/// where users may make none.
///
/// The real user and the filesystem user stay. So the user cannot trace this process, and the process may still write its own
/// files in /proc, which belong to root while it cannot be traced.
pub(super) fn act_for(uid: u32, gid: u32) -> nix::Result<()> {
    // SAFETY: system calls without pointers. The C library's functions would concern themselves with other threads.
    unsafe {
        let files = libc::syscall(libc::SYS_geteuid);
        Errno::result(libc::syscall(libc::SYS_setresgid, SAME, libc::c_long::from(gid), SAME))?;
        Errno::result(libc::syscall(libc::SYS_setresuid, SAME, libc::c_long::from(uid), SAME))?;
        // It returns the previous user and no error.
        libc::syscall(libc::SYS_setfsuid, files);
    }
    // The change of the ID dropped the effective capabilities; the permitted ones remain.
    change(|half| half.effective = half.permitted).map(drop)
}

/// Changes the capabilities of this process. Returns the permitted ones.
fn change(how: impl Fn(&mut CapData)) -> nix::Result<[u32; 2]> {
    let mut header = CapHeader { version: CAP_VERSION, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: both structures are as capget(2) wants them and outlive the calls.
    unsafe {
        Errno::result(libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()))?;
        data.iter_mut().for_each(how);
        Errno::result(libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()))?;
    }
    Ok(data.map(|half| half.permitted))
}
