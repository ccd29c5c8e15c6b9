//! The interface between this library and a plugin, as C sees it: types and constants, from which
//! `include/xcluster_plugin.h` is generated. What is said over it is `message`'s affair.
//
// The header takes its comments from here, so they are written for readers of C.

use std::ffi::{c_char, c_int, c_void};

/// The version of this interface. Both sides say theirs in the field `abi`, which is always the first.
pub const ABI: u32 = 1;

/// Among whom a name is locked: everybody on this host.
pub const PLACE_HOST: u32 = 0;
/// Among whom a name is locked: everybody who uses the cluster's network namespace.
pub const PLACE_NAMESPACE: u32 = 1;

/// The network namespace of the cluster.
pub const NAMESPACE_NET: u32 = 0;
/// The user namespace that the network namespace belongs to, if that is not the one of this process.
pub const NAMESPACE_USER: u32 = 1;

/// What went wrong, and people should see.
pub const LOG_ERROR: u32 = 1;
/// What may be wrong.
pub const LOG_WARN: u32 = 2;
/// What people may want to know.
pub const LOG_INFO: u32 = 3;
/// What the plugin's author wants to know.
pub const LOG_DEBUG: u32 = 4;

/// UTF-8 text that is lent until the function returns. No zero ends it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// Where it begins; may be null if it is empty.
    pub data: *const u8,
    /// How many bytes it has.
    pub length: usize,
}

/// UTF-8 text that the plugin has allocated. The host reads it and hands it to the plugin's `free`. At most 1 MiB.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Buffer {
    /// Where it begins; null if there is none.
    pub data: *mut u8,
    /// How many bytes it has.
    pub length: usize,
}

/// What a plugin may ask of the host, during one call and until that returns. Every function takes `call` as its first
/// argument and may be called by any thread. A negative number is an error of errno(3): -ECANCELED if nobody waits for the
/// call any more, -ENOENT if there is no such thing or the call is for no cluster.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// The version of the interface that the host speaks.
    pub abi: u32,
    /// The size of this structure in the host. It grows at its end: what is beyond it is not there.
    pub size: usize,
    /// Which call this is.
    pub call: *mut c_void,
    /// Writes a line to the host's log. `level` is one of `XCLUSTER_LOG_…`.
    pub log: Option<unsafe extern "C" fn(call: *mut c_void, level: u32, text: Text)>,
    /// Gives the host a duplicate of a descriptor. Returns a token, more than 0 and less than 2^53, that the reply to this
    /// call may name once; 0 if it cannot be had. The descriptor itself stays the plugin's.
    pub give: Option<unsafe extern "C" fn(call: *mut c_void, descriptor: c_int) -> u64>,
    /// Opens a socket in the cluster's network namespace, as socket(2) does. Returns a descriptor, close-on-exec, which is the
    /// plugin's.
    pub open_socket:
        Option<unsafe extern "C" fn(call: *mut c_void, family: c_int, kind: c_int, protocol: c_int) -> c_int>,
    /// Opens /dev/net/tun in the cluster's network namespace, so that TUNSETIFF makes a tap there. Returns a descriptor,
    /// close-on-exec, which is the plugin's.
    pub open_tun: Option<unsafe extern "C" fn(call: *mut c_void) -> c_int>,
    /// Opens one of `XCLUSTER_NAMESPACE_…`, for setns(2) in a process of one thread. Returns a descriptor, close-on-exec, which is
    /// the plugin's; -ENOENT if that is where this process is anyway.
    pub open_namespace: Option<unsafe extern "C" fn(call: *mut c_void, which: u32) -> c_int>,
    /// Locks a name, such as a port's, among all clusters of one of `XCLUSTER_PLACE_…`. The host lock lasts until it is released or
    /// the cluster ends, however that happens. Returns 0, also if this cluster has it already; -EADDRINUSE if another has it.
    pub take_lock: Option<unsafe extern "C" fn(call: *mut c_void, place: u32, name: Text) -> c_int>,
    /// Releases a name. Returns 0, also if this cluster has no such host lock.
    pub release: Option<unsafe extern "C" fn(call: *mut c_void, name: Text) -> c_int>,
}

/// What a plugin is. The function `xcluster_plugin` returns its address; it must stay as it is for as long as the process
/// lives. No function may be null. None may let an exception out: the process would end.
///
/// Each call comes on a thread of its own, which ends with it: a death signal must hang on a thread of the plugin's. Calls of one
/// instance come at the same time, for different ports, nets and clusters. A call that takes longer than the host waits (30 s
/// unless it was told otherwise) fails for the cluster; its thread goes on, and what undoes it comes when it has returned.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Plugin {
    /// `XCLUSTER_PLUGIN_ABI`.
    pub abi: u32,
    /// The size of this structure in the plugin.
    pub size: usize,
    /// The name that topologies choose the backend by: a letter, then letters, digits and `-`, all lower case, at most 32 bytes.
    pub name: *const c_char,
    /// The plugin's own version, for people; at most 64 bytes.
    pub version: *const c_char,
    /// Makes an instance with a configuration, a JSON object: what topologies say to the backend. It reads the configuration and
    /// changes nothing on the host: instances are made to plan a cluster that may never be started. Returns null if the
    /// configuration is wrong, and puts a reply with the error into `reason`.
    pub create:
        Option<unsafe extern "C" fn(host: *const Host, configuration: Text, reason: *mut Buffer) -> *mut c_void>,
    /// Does what a request asks for and returns the reply, both JSON.
    pub call: Option<unsafe extern "C" fn(instance: *mut c_void, host: *const Host, request: Text) -> Buffer>,
    /// Frees an instance. No call of it goes on, and none comes after. Every cluster that used it has ended.
    pub destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    /// Frees a buffer.
    pub free: Option<unsafe extern "C" fn(buffer: Buffer)>,
}

unsafe extern "C" {
    /// The one function that a plugin exports.
    pub fn xcluster_plugin() -> *const Plugin;
}
