//! The interface between this library and a plugin, as C sees it: types and constants. `include/xcluster_plugin.h` is
//! generated from it. The module `message` defines the requests and replies.
//
// The header takes its comments from here, so they are written for C programmers.

use std::ffi::{c_char, c_int, c_void};

/// The version of this interface. Host and plugin each state theirs in the field `abi`, which is always the first.
pub const ABI: u32 = 1;

/// Locks a name among all processes of this host.
pub const PLACE_HOST: u32 = 0;
/// Locks a name among the processes that use the cluster's network namespace.
pub const PLACE_NAMESPACE: u32 = 1;

/// The network namespace of the cluster.
pub const NAMESPACE_NET: u32 = 0;
/// The user namespace that owns the network namespace, if it is not that of this process.
pub const NAMESPACE_USER: u32 = 1;

/// An error that users should see.
pub const LOG_ERROR: u32 = 1;
/// A possible error.
pub const LOG_WARN: u32 = 2;
/// Information for users.
pub const LOG_INFO: u32 = 3;
/// Information for the plugin's author.
pub const LOG_DEBUG: u32 = 4;

/// UTF-8 text that is valid until the function returns. It does not end with a zero byte.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// The first byte; may be null for an empty text.
    pub data: *const u8,
    /// The length in bytes.
    pub length: usize,
}

/// UTF-8 text that the plugin has allocated. The host reads it and passes it to the plugin's `free`. At most 1 MiB.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Buffer {
    /// The first byte; null for no text.
    pub data: *mut u8,
    /// The length in bytes.
    pub length: usize,
}

/// The functions that a plugin may call during one call, until it returns. Each takes `call` as its first argument, and any
/// thread may use it. A negative result is an error of errno(3): -ECANCELED if the host no longer waits for the call, -ENOENT
/// if the object does not exist or the call is for no cluster.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// The host's version of the interface.
    pub abi: u32,
    /// The size of this structure in the host. New fields are added at the end; those beyond the size do not exist.
    pub size: usize,
    /// Identifies the call.
    pub call: *mut c_void,
    /// Writes a line to the host's log. `level` is one of `XCLUSTER_LOG_…`.
    pub log: Option<unsafe extern "C" fn(call: *mut c_void, level: u32, text: Text)>,
    /// Gives the host a duplicate of a descriptor. Returns a token for it, more than 0 and less than 2^53, which the reply to
    /// this call may contain once; 0 if the descriptor cannot be duplicated. The plugin keeps its own descriptor.
    pub give: Option<unsafe extern "C" fn(call: *mut c_void, descriptor: c_int) -> u64>,
    /// Opens a socket in the cluster's network namespace, as socket(2) does. Returns a close-on-exec descriptor, which the
    /// plugin owns.
    pub open_socket:
        Option<unsafe extern "C" fn(call: *mut c_void, family: c_int, kind: c_int, protocol: c_int) -> c_int>,
    /// Opens /dev/net/tun in the cluster's network namespace, so that TUNSETIFF makes a tap there. Returns a close-on-exec
    /// descriptor, which the plugin owns.
    pub open_tun: Option<unsafe extern "C" fn(call: *mut c_void) -> c_int>,
    /// Opens one of `XCLUSTER_NAMESPACE_…`, for setns(2) in a process with one thread. Returns a close-on-exec descriptor,
    /// which the plugin owns; -ENOENT if this process is in that namespace.
    pub open_namespace: Option<unsafe extern "C" fn(call: *mut c_void, which: u32) -> c_int>,
    /// Locks a name, such as a TCP port, among all clusters of one of `XCLUSTER_PLACE_…`. The lock ends when it is released
    /// or when the cluster ends in any way. Returns 0, also if this cluster holds it already; -EADDRINUSE if another cluster
    /// holds it.
    pub take_lock: Option<unsafe extern "C" fn(call: *mut c_void, place: u32, name: Text) -> c_int>,
    /// Releases a name. Returns 0, also if this cluster does not hold its lock.
    pub release: Option<unsafe extern "C" fn(call: *mut c_void, name: Text) -> c_int>,
}

/// A plugin. The function `xcluster_plugin` returns its address. It must not change while the process lives. No function may
/// be null. An exception that leaves a function ends the process.
///
/// Each call has a thread, which ends with the call; so a child process with a death signal must be started by a thread of
/// the plugin. Calls of one instance run at the same time, for different ports, nets and clusters. A call that exceeds its
/// deadline (30 s by default) fails for the cluster. Its thread goes on, and calls that undo its work come after it has
/// returned.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Plugin {
    /// `XCLUSTER_PLUGIN_ABI`.
    pub abi: u32,
    /// The size of this structure in the plugin.
    pub size: usize,
    /// The name that topologies choose the backend by: at most 32 bytes; a lower-case letter, then lower-case letters, digits
    /// and `-`.
    pub name: *const c_char,
    /// The plugin's version, for people; at most 64 bytes.
    pub version: *const c_char,
    /// Makes an instance with a configuration: a JSON object with the settings of a topology. It must not change anything on
    /// the host, because instances are also made for plans that are never started. If the configuration is wrong it returns
    /// null, and puts a reply with the error into `reason`.
    pub create:
        Option<unsafe extern "C" fn(host: *const Host, configuration: Text, reason: *mut Buffer) -> *mut c_void>,
    /// Carries out a request and returns the reply. Both are JSON.
    pub call: Option<unsafe extern "C" fn(instance: *mut c_void, host: *const Host, request: Text) -> Buffer>,
    /// Frees an instance. All of its calls have returned, none will come, and every cluster that used it has ended.
    pub destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    /// Frees a buffer.
    pub free: Option<unsafe extern "C" fn(buffer: Buffer)>,
}

unsafe extern "C" {
    /// The function that a plugin exports.
    pub fn xcluster_plugin() -> *const Plugin;
}
