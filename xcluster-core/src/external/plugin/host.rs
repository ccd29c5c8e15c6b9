//! The host's side of a running call: the table of functions that the plugin gets, and its requests. Requests about a cluster
//! are passed to the caller, who has the cluster.

use std::ffi::{c_int, c_void};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use nix::errno::Errno;
use tokio::sync::mpsc as requests;

use super::abi::{self, Text};
use super::reply::text;
use super::tokens::Tokens;
use crate::host::{HostLockError, Namespace, NamespaceError};
use crate::net::BackendContext;

/// The most bytes of a log line that are kept.
const LOG_MAX: usize = 4096;
/// The longest name of a host lock that is read, in bytes. The kernel's limit is lower (unix(7)).
const CLAIM_MAX: usize = 256;

/// One call on the host's side. It lives until the plugin returns from the call.
#[derive(Debug)]
pub(super) struct CallContext {
    /// The plugin's name, for the log.
    plugin: String,
    tokens: Mutex<Tokens>,
    requests: Option<requests::UnboundedSender<HostRequest>>,
}

/// A request of a plugin about its cluster.
#[derive(Debug)]
pub(super) struct HostRequest {
    kind: RequestKind,
    answer: mpsc::Sender<Answer>,
}

/// A descriptor, success without a value, or an errno.
type Answer = Result<Option<OwnedFd>, Errno>;

#[derive(Debug)]
enum RequestKind {
    Socket(c_int, c_int, c_int),
    Tun,
    Namespace(u32),
    HostLock(u32, String),
    Release(String),
}

impl CallContext {
    /// A call that is for no cluster.
    pub(super) fn of_none(plugin: &str) -> Arc<Self> {
        Arc::new(Self { plugin: plugin.to_owned(), tokens: Mutex::default(), requests: None })
    }

    /// A call for a cluster, and the receiver of its requests. Dropping the receiver cancels them.
    pub(super) fn new(plugin: &str) -> (Arc<Self>, requests::UnboundedReceiver<HostRequest>) {
        let (ask, asked) = requests::unbounded_channel();
        (Arc::new(Self { plugin: plugin.to_owned(), tokens: Mutex::default(), requests: Some(ask) }), asked)
    }

    /// The table for a plugin. It must not outlive the context.
    pub(super) fn table(&self) -> abi::Host {
        abi::Host {
            abi: abi::ABI,
            size: size_of::<abi::Host>(),
            call: std::ptr::from_ref(self).cast_mut().cast(),
            log: Some(log),
            give: Some(give),
            open_socket: Some(open_socket),
            open_tun: Some(open_tun),
            open_namespace: Some(open_namespace),
            take_lock: Some(take_lock),
            release: Some(release),
        }
    }

    /// The descriptors that the plugin has given.
    pub(super) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, kind: RequestKind) -> Answer {
        let Some(requests) = &self.requests else { return Err(Errno::ENOENT) };
        let (answer, answered) = mpsc::channel();
        requests.send(HostRequest { kind, answer }).map_err(|_| Errno::ECANCELED)?;
        // It waits for the answer, or until the caller is gone.
        answered.recv().unwrap_or(Err(Errno::ECANCELED))
    }
}

impl HostRequest {
    /// Answers the request for this cluster.
    pub(super) fn answer(self, context: &BackendContext<'_>) {
        let here = Namespace::here();
        let namespace = context.namespace.unwrap_or(&here);
        let answer = match self.kind {
            RequestKind::Socket(family, kind, protocol) => {
                namespace.socket(family, kind, protocol).map(Some).map_err(of_io)
            }
            RequestKind::Tun => namespace.tun().map(Some).map_err(of_tun),
            RequestKind::Namespace(which) => descriptor(namespace, which),
            RequestKind::HostLock(abi::PLACE_HOST, name) => {
                context.host_locks.take_all([name]).map(|()| None).map_err(of_lock)
            }
            RequestKind::HostLock(abi::PLACE_NAMESPACE, name) => {
                context.host_locks.take_all_in(namespace, [name]).map(|()| None).map_err(of_lock)
            }
            RequestKind::HostLock(..) => Err(Errno::EINVAL),
            RequestKind::Release(name) => {
                context.host_locks.release([name]);
                Ok(None)
            }
        };
        // It fails if the plugin no longer waits.
        let _ = self.answer.send(answer);
    }
}

fn descriptor(namespace: &Namespace, which: u32) -> Answer {
    let (user, net) = namespace.descriptors().ok_or(Errno::ENOENT)?;
    let wanted = match which {
        abi::NAMESPACE_NET => Some(net),
        abi::NAMESPACE_USER => user,
        _ => return Err(Errno::EINVAL),
    };
    wanted.ok_or(Errno::ENOENT)?.try_clone_to_owned().map(Some).map_err(of_io)
}

fn of_io(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn of_tun(error: NamespaceError) -> Errno {
    match error {
        NamespaceError::Tun(source) => of_io(source),
        _ => Errno::EIO,
    }
}

fn of_lock(error: HostLockError) -> Errno {
    match error {
        HostLockError::Taken { .. } => Errno::EADDRINUSE,
        HostLockError::Io { source, .. } => of_io(source),
        _ => Errno::EIO,
    }
}

unsafe extern "C" fn log(call: *mut c_void, level: u32, line: Text) {
    // SAFETY: a plugin has got this pointer from us, and the call goes on; the text is lent to us.
    let (Some(call_context), line) = (unsafe { call_context(call) }, unsafe { lent(line, LOG_MAX) }) else { return };
    let (plugin, line) = (&call_context.plugin, line.trim_end());
    match level {
        abi::LOG_ERROR => tracing::error!(plugin, "{line}"),
        abi::LOG_WARN => tracing::warn!(plugin, "{line}"),
        abi::LOG_INFO => tracing::info!(plugin, "{line}"),
        _ => tracing::debug!(plugin, "{line}"),
    }
}

unsafe extern "C" fn give(call: *mut c_void, descriptor: c_int) -> u64 {
    // SAFETY: a plugin has got this pointer from us, and the call goes on.
    let call_context = unsafe { call_context(call) };
    call_context.and_then(|call_context| call_context.tokens().give(descriptor)).unwrap_or(0)
}

unsafe extern "C" fn open_socket(call: *mut c_void, family: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: a plugin has got this pointer from us, and the call goes on.
    unsafe { ask(call, RequestKind::Socket(family, kind, protocol)) }
}

unsafe extern "C" fn open_tun(call: *mut c_void) -> c_int {
    // SAFETY: the same.
    unsafe { ask(call, RequestKind::Tun) }
}

unsafe extern "C" fn open_namespace(call: *mut c_void, which: u32) -> c_int {
    // SAFETY: the same.
    unsafe { ask(call, RequestKind::Namespace(which)) }
}

unsafe extern "C" fn take_lock(call: *mut c_void, place: u32, name: Text) -> c_int {
    // SAFETY: the same, and the text is lent to us.
    unsafe { ask(call, RequestKind::HostLock(place, lent(name, CLAIM_MAX))) }
}

unsafe extern "C" fn release(call: *mut c_void, name: Text) -> c_int {
    // SAFETY: the same.
    unsafe { ask(call, RequestKind::Release(lent(name, CLAIM_MAX))) }
}

/// # Safety
/// As for [`call_context`].
unsafe fn ask(call: *mut c_void, kind: RequestKind) -> c_int {
    // SAFETY: the caller's.
    let Some(call_context) = (unsafe { call_context(call) }) else { return -(Errno::EINVAL as c_int) };
    match call_context.ask(kind) {
        Ok(descriptor) => descriptor.map_or(0, IntoRawFd::into_raw_fd),
        Err(errno) => -(errno as c_int),
    }
}

/// # Safety
/// It is null, or of a table whose context lives.
unsafe fn call_context<'a>(call: *mut c_void) -> Option<&'a CallContext> {
    // SAFETY: the caller's.
    unsafe { call.cast::<CallContext>().as_ref() }
}

/// The start of a text that a plugin lends.
///
/// # Safety
/// The text is valid for its length.
unsafe fn lent(lent: Text, max: usize) -> String {
    if lent.data.is_null() {
        return String::new();
    }
    // SAFETY: it is not null, and the caller says that it is there.
    text(unsafe { std::slice::from_raw_parts(lent.data, lent.length.min(max)) })
}
