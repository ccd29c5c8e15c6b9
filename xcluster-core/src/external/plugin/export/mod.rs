//! The plugin's side in Rust: the code behind [`export_plugin!`](crate::export_plugin) in a library that links this crate.
//! Each such library has a copy of this crate with its own runtime and globals. No Rust type crosses the boundary to the
//! host.
//!
//! * `adapter`: turns requests into calls of a backend. `host_client`: the plugin's requests to the host.
//! * `blocking`: backends without async. `runtime`: runs futures.

mod adapter;
mod blocking;
mod host_client;
mod runtime;

use std::ffi::{CString, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null, null_mut};
use std::sync::{Arc, OnceLock};

use super::abi::{ABI, Buffer, Host, Plugin, Text};
use super::message::{Error, reply};
use crate::net::NetBackend;

use adapter::Adapter;
use host_client::HostClient;

pub use adapter::ExportedBackend;
pub use blocking::{Blocking, BlockingBackend};

/// Makes a library of the crate type `cdylib` a plugin: the one line that a backend needs.
///
/// ```
/// # mod plugin {
/// # use std::sync::Arc;
/// # use xcluster_core::net::*; use xcluster_core::topology::NetKind;
/// #[derive(Debug, Default)]
/// struct MySwitch;
///
/// #[async_trait::async_trait]
/// impl NetBackend for MySwitch {
///     fn name(&self) -> &str {
///         "my-switch"
///     }
///     // …
/// #   fn capabilities(&self, _: NetKind) -> Capabilities { Capabilities::joining(VmToVm::Switch, 1500) }
/// #   async fn preflight(&self, _: &BackendContext<'_>, _: &[Net], _: &[Port]) -> Result<(), NetError> { Ok(()) }
/// #   async fn create_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> { Ok(()) }
/// #   async fn setup(&self, _: &BackendContext<'_>, _: &Port) -> Result<PortConfig, NetError> { Err(NetError::unsupported("")) }
/// #   async fn teardown(&self, _: &BackendContext<'_>, _: &Port) -> Result<(), NetError> { Ok(()) }
/// #   async fn delete_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> { Ok(()) }
/// }
///
/// xcluster_core::export_plugin!(MySwitch::default());
/// # }
/// # fn main() {}
/// ```
///
/// The expression is evaluated once per instance. Settings of a topology arrive as in a linked backend, through
/// [`NetBackend::configured`](crate::net::NetBackend::configured). Futures, and tasks that they spawn, run on a runtime of
/// the plugin, on one thread that lives as long as the instance. A `BackendContext` has host locks, a store and a namespace
/// that end with the cluster.
///
/// `export_plugin!(blocking MySwitch::default())` takes a [`BlockingBackend`](crate::external::plugin::BlockingBackend) instead.
///
/// A panic becomes an error, unless the library is built with `panic = "abort"`. A library has one such line.
#[macro_export]
macro_rules! export_plugin {
    (blocking $backend:expr) => {
        $crate::export_plugin!(@ $crate::external::plugin::export::blocking(|| ::std::sync::Arc::new($backend)));
    };
    (@ $author:expr) => {
        /// The part of the table that a host checks first.
        #[unsafe(no_mangle)]
        pub extern "C" fn xcluster_plugin() -> *const $crate::external::plugin::abi::Plugin {
            $crate::external::plugin::export::table(::std::env!("CARGO_PKG_VERSION"), || $author)
        }
    };
    ($backend:expr) => {
        $crate::export_plugin!(@ $crate::external::plugin::export::concurrent(|| ::std::sync::Arc::new($backend)));
    };
}

/// A constructor of a backend.
pub const fn concurrent(make: fn() -> Arc<dyn NetBackend>) -> ExportedBackend {
    ExportedBackend::Concurrent(make)
}

/// A constructor of a backend without async.
pub const fn blocking(make: fn() -> Arc<dyn BlockingBackend>) -> ExportedBackend {
    ExportedBackend::Blocking(make)
}

/// The table of this library, once it was asked for. Each library has a copy of this crate, and so of this value.
static EXPORTED: OnceLock<Option<Exported>> = OnceLock::new();

#[derive(Debug)]
struct Exported {
    author: ExportedBackend,
    table: Plugin,
    /// The values that the table points to.
    _texts: [CString; 2],
}

// SAFETY: the table points to texts that never change, and to functions.
unsafe impl Send for Exported {}
// SAFETY: the same.
unsafe impl Sync for Exported {}

/// The table of this library; null if its backend does not give its name.
pub fn table(version: &str, author: impl FnOnce() -> ExportedBackend) -> *const Plugin {
    let exported = EXPORTED.get_or_init(|| catch_unwind(AssertUnwindSafe(|| export(version, author()))).ok().flatten());
    exported.as_ref().map_or(null(), |exported| &raw const exported.table)
}

fn export(version: &str, author: ExportedBackend) -> Option<Exported> {
    let name = match author {
        ExportedBackend::Concurrent(make) => make().name().to_owned(),
        ExportedBackend::Blocking(make) => make().name().to_owned(),
    };
    let texts = [CString::new(name).ok()?, CString::new(version).ok()?];
    let table = Plugin {
        abi: ABI,
        size: size_of::<Plugin>(),
        name: texts[0].as_ptr(),
        version: texts[1].as_ptr(),
        create: Some(create),
        call: Some(call),
        destroy: Some(destroy),
        free: Some(free),
    };
    Some(Exported { author, table, _texts: texts })
}

unsafe extern "C" fn create(host: *const Host, configuration: Text, reason: *mut Buffer) -> *mut c_void {
    // SAFETY: the host lends them for this call.
    let (host, configuration) = unsafe { (HostClient::new(host), bytes(configuration)) };
    let made = isolated(|| {
        host?;
        let Some(Some(exported)) = EXPORTED.get() else {
            return Err(Error::other("the library was not asked who it is"));
        };
        Adapter::new(exported.author, configuration)
    });
    match made {
        Ok(adapter) => Box::into_raw(Box::new(adapter)).cast(),
        Err(error) => {
            if !reason.is_null() {
                // SAFETY: the host lends room for it.
                unsafe { reason.write(buffer(reply::<()>(Err(error)))) };
            }
            null_mut()
        }
    }
}

unsafe extern "C" fn call(instance: *mut c_void, host: *const Host, request: Text) -> Buffer {
    // SAFETY: the host lends them for this call, and has the instance from us.
    let (host, request, adapter) =
        unsafe { (HostClient::new(host), bytes(request), instance.cast::<Adapter>().as_ref()) };
    let answered = isolated(|| adapter.ok_or_else(|| Error::other("there is no instance"))?.answer(&host?, request));
    buffer(answered.unwrap_or_else(|error| reply::<()>(Err(error))))
}

unsafe extern "C" fn destroy(instance: *mut c_void) {
    if instance.is_null() {
        return;
    }
    // SAFETY: the host has it from us, and gives it back once.
    let adapter = unsafe { Box::from_raw(instance.cast::<Adapter>()) };
    // The panic hook has reported it.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(adapter)));
}

unsafe extern "C" fn free(buffer: Buffer) {
    if buffer.data.is_null() {
        return;
    }
    // SAFETY: the host has it from us as it is, and gives it back once.
    drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(buffer.data, buffer.length)) });
}

/// Runs a function, and turns its panic into an error. A panic across the boundary would end the process.
fn isolated<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())))
}

fn buffer(text: String) -> Buffer {
    let bytes = text.into_bytes().into_boxed_slice();
    let length = bytes.len();
    Buffer { data: Box::into_raw(bytes).cast(), length }
}

/// # Safety
/// The text is there until the call ends.
unsafe fn bytes<'a>(text: Text) -> &'a [u8] {
    if text.data.is_null() {
        return &[];
    }
    // SAFETY: the caller's.
    unsafe { std::slice::from_raw_parts(text.data, text.length) }
}
