//! An instance of a plugin: it is made with a configuration, called, and freed after its last call. Knows no request.

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::abi::{Buffer, Text};
use super::error::{Fault, InvalidReply};
use super::host::CallContext;
use super::load::Loaded;
use super::message::{Description, Done, Request};
use super::reply;
use super::watchdog::{NoResult, within};
use crate::net::Settings;

/// How long freeing an instance may take. After that it goes on in the background.
const END: Duration = Duration::from_secs(5);

/// An instance, and its description.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) plugin: Arc<Loaded>,
    pub(super) description: Description,
    /// The deadline of a call.
    pub(super) limit: Duration,
    /// `None` once it was handed to the thread that frees it.
    raw: Option<Raw>,
}

/// The plugin's value, which is freed with this one.
#[derive(Debug)]
struct Raw {
    plugin: Arc<Loaded>,
    value: NonNull<c_void>,
}

// SAFETY: the interface says that an instance is used by any thread,
unsafe impl Send for Raw {}
// SAFETY: and by several at a time.
unsafe impl Sync for Raw {}

impl Instance {
    /// Makes an instance, and asks for its description.
    pub(super) fn create(plugin: &Arc<Loaded>, settings: &Settings, limit: Duration) -> Result<Self, Fault> {
        let configuration = Value::Object(settings.clone()).to_string();
        let request = spell("describe", &Request::Describe)?;
        let maker = Arc::clone(plugin);
        let made = within(limit, &plugin.health, move || {
            let raw = Raw::create(&maker, &configuration)?;
            let call_context = CallContext::of_none(&maker.name);
            let description: Description = reply::read("describe", &raw.call("describe", &request, &call_context)?)?;
            reply::complete(&description).map_err(|what| Fault::InvalidReply { call: "describe", what })?;
            Ok((raw, description))
        });
        let (raw, description) = made.map_err(|no_result| Fault::no_result("create", no_result))??;
        Ok(Self { plugin: Arc::clone(plugin), description, limit, raw: Some(raw) })
    }

    /// Calls it on this thread, without a deadline. Returns the reply.
    pub(super) fn call(&self, call: &'static str, request: &str, call_context: &CallContext) -> Result<Vec<u8>, Fault> {
        let raw = self.raw.as_ref().expect("it is there until it is dropped");
        raw.call(call, request, call_context)
    }

    /// Sends a request that is for no cluster, and waits.
    pub(super) fn ask_alone(self: &Arc<Self>, call: &'static str, request: &Request) -> Result<(), Fault> {
        self.ask_within(self.limit, call, request)
    }

    fn ask_within(self: &Arc<Self>, limit: Duration, call: &'static str, request: &Request) -> Result<(), Fault> {
        let (instance, request) = (Arc::clone(self), spell(call, request)?);
        let answer = within(limit, &self.plugin.health, move || {
            let call_context = CallContext::of_none(&instance.plugin.name);
            instance.call(call, &request, &call_context)
        });
        reply::read(call, &answer.map_err(|no_result| Fault::no_result(call, no_result))??).map(|Done {}| ())
    }

    /// Tells the plugin that a cluster has ended. A plugin that already hangs is not waited for again.
    pub(super) fn end(self: &Arc<Self>, request: &Request) {
        let ended = match self.plugin.health.is_well() {
            true => self.ask_within(END.min(self.limit), "end", request),
            false => Err(Fault::no_result("end", NoResult::Hanging)),
        };
        if let Err(fault) = ended {
            tracing::warn!(plugin = self.plugin.name, "plugin `{}` {fault}", self.plugin.name);
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let Some(raw) = self.raw.take() else { return };
        // Without a thread for it, it is not freed: here, it could block the process for ever.
        let raw = ManuallyDrop::new(raw);
        let freed = within(END, &self.plugin.health, move || drop(ManuallyDrop::into_inner(raw)));
        if let Err(no_result) = freed {
            tracing::warn!("plugin `{}` {}", self.plugin.name, Fault::no_result("destroy", no_result));
        }
    }
}

impl Raw {
    fn create(plugin: &Arc<Loaded>, configuration: &str) -> Result<Self, Fault> {
        let call_context = CallContext::of_none(&plugin.name);
        let (host, mut reason) = (call_context.table(), Buffer { data: null_mut(), length: 0 });
        let create = plugin.table.create.expect("the table is whole");
        // SAFETY: the table is of the version that we know; everything that is lent lives until the call returns.
        let value = unsafe { create(&raw const host, lend(configuration), &raw mut reason) };
        let said = take(plugin, reason);
        let Some(value) = NonNull::new(value) else {
            let said = said.ok().filter(|said| !said.is_empty()).ok_or(Fault::NoInstance)?;
            return match reply::read::<Done>("create", &said) {
                Err(Fault::Said { error, .. }) => Err(Fault::Refused(error)),
                Err(fault) => Err(fault),
                Ok(Done {}) => Err(Fault::NoInstance),
            };
        };
        Ok(Self { plugin: Arc::clone(plugin), value })
    }

    fn call(&self, call: &'static str, request: &str, call_context: &CallContext) -> Result<Vec<u8>, Fault> {
        let (host, function) = (call_context.table(), self.plugin.table.call.expect("the table is whole"));
        // SAFETY: the instance is one of this plugin's and not freed; everything that is lent lives until the call returns.
        let buffer = unsafe { function(self.value.as_ptr(), &raw const host, lend(request)) };
        let said = take(&self.plugin, buffer)
            .and_then(|said| if said.is_empty() { Err(InvalidReply::Nothing) } else { Ok(said) });
        said.map_err(|what| Fault::InvalidReply { call, what })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let destroy = self.plugin.table.destroy.expect("the table is whole");
        // SAFETY: a caller of the instance has a reference to it, so there is no caller any more.
        unsafe { destroy(self.value.as_ptr()) }
    }
}

/// A request in the form that is sent.
pub(super) fn spell(call: &'static str, request: &Request) -> Result<String, Fault> {
    serde_json::to_string(request).map_err(|source| Fault::Unspeakable { call, source })
}

const fn lend(text: &str) -> Text {
    Text { data: text.as_ptr(), length: text.len() }
}

/// Copies the contents of a plugin's buffer, and frees the buffer. `None` if there are none.
fn take(plugin: &Loaded, buffer: Buffer) -> Result<Vec<u8>, InvalidReply> {
    let Some(data) = NonNull::new(buffer.data) else {
        return if buffer.length == 0 { Ok(Vec::new()) } else { Err(InvalidReply::Null(buffer.length)) };
    };
    let said = if buffer.length > reply::MAX {
        Err(InvalidReply::TooMuch(buffer.length))
    } else {
        // SAFETY: the plugin states this length, and only the line below frees the buffer.
        Ok(unsafe { std::slice::from_raw_parts(data.as_ptr(), buffer.length) }.to_vec())
    };
    let free = plugin.table.free.expect("the table is whole");
    // SAFETY: it is a buffer that the plugin has given us, as it was, and it goes back once.
    unsafe { free(buffer) };
    said
}
