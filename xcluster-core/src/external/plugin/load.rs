//! A library in this process: opened once, identified, and never closed, since it may have started threads. Calls no function
//! of it but the exported one.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::super::lock;
use super::abi::{ABI, Plugin};
use super::error::{Fault, PluginError, other_version};
use super::file_permissions::{self, CheckedFile};
use super::watchdog::{HungThreads, within};
use crate::error_chain;

/// The start of an ELF library.
const ELF: &[u8] = b"\x7fELF";
/// The exported function of a plugin.
const SYMBOL: &CStr = c"xcluster_plugin";
/// The most bytes of a name and of a version.
const NAME_MAX: usize = 32;
const VERSION_MAX: usize = 64;

/// A plugin in this process.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) version: String,
    /// Its path, with links resolved.
    pub(super) path: PathBuf,
    pub(super) table: Table,
    /// The watchdog of all calls into it.
    pub(super) health: Arc<HungThreads>,
}

/// The functions of a plugin, none of which is null.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table(&'static Plugin);

// SAFETY: a plugin's table stays as it is, and its functions may be called by any thread: the interface says so.
unsafe impl Send for Table {}
// SAFETY: the same.
unsafe impl Sync for Table {}

impl std::ops::Deref for Table {
    type Target = Plugin;

    fn deref(&self) -> &Plugin {
        self.0
    }
}

/// Whether a text can be the name of a plugin.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= NAME_MAX && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(plain)
}

/// Loads the plugin in a file. A library that hangs while it is loaded holds the loader's lock, which every new thread of the
/// process needs: no deadline helps against that.
///
/// # Errors
/// The file may not be loaded, is not a plugin, or is for another version of the interface.
pub(super) fn load(path: &Path, limit: Duration) -> Result<Arc<Loaded>, PluginError> {
    let trusted = file_permissions::open(path)?;
    let (shown, given) = (path.display().to_string(), path.to_owned());
    let late = |no_result| PluginError::failed(shown, &Fault::no_result("xcluster_plugin", no_result));
    within(limit, &Arc::default(), move || {
        let why = |why| PluginError::Unfit { path: given, why };
        let CheckedFile { file, path } = trusted;
        open(file, &path).and_then(|library| ask(&library, path)).map_err(why)
    })
    .map_err(late)?
}

/// The open libraries, by device and inode. Their files stay open. The loader knows a library by the path that it was opened
/// by, which contains the number of its descriptor; it would take another file with that number for the same library.
static OPEN: Mutex<BTreeMap<(u64, u64), Arc<Library>>> = Mutex::new(BTreeMap::new());

/// Opens the library of the file that was checked, by its descriptor. Its path might lead to another file by now.
fn open(mut file: File, path: &Path) -> Result<Arc<Library>, String> {
    let unreadable = |error: io::Error| format!("it cannot be read: {error}");
    let meta = file.metadata().map_err(unreadable)?;
    let key = (meta.dev(), meta.ino());
    if let Some(library) = lock(&OPEN).get(&key) {
        return Ok(Arc::clone(library));
    }
    let mut start = [0; ELF.len()];
    match file.read_exact(&mut start) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(unreadable(error)),
        _ if start != ELF => return Err("it is no library: it does not begin as an ELF file".to_owned()),
        _ => {}
    }
    let way = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: whatever the library does when it is loaded, its user wants it in this process.
    let opened = unsafe { Library::open(Some(&way), RTLD_NOW | RTLD_LOCAL) };
    let library = Arc::new(opened.map_err(|error| said(&error).replace(&way, &path.display().to_string()))?);
    let _ = file.into_raw_fd();
    // Two threads may have opened it at the same time. The loader counts that as one library.
    let mut all = lock(&OPEN);
    Ok(Arc::clone(all.entry(key).or_insert(library)))
}

/// The loader's message, which is the cause of the error.
fn said(error: &dyn std::error::Error) -> String {
    error_chain::one_line(error.source().unwrap_or(error))
}

/// Asks a library for its table.
fn ask(library: &Library, path: PathBuf) -> Result<Arc<Loaded>, String> {
    // SAFETY: who exports a function of this name means this interface.
    let symbol = unsafe { library.get::<unsafe extern "C" fn() -> *const Plugin>(SYMBOL) };
    let xcluster_plugin = symbol.map_err(|_| "it does not export a function `xcluster_plugin`".to_owned())?;
    // SAFETY: the interface says what it takes and returns.
    let table = known(unsafe { xcluster_plugin() })?;
    // SAFETY: the table is whole.
    let (name, version) = unsafe { (string(table.name, NAME_MAX), string(table.version, VERSION_MAX)) };
    let name = name.filter(|name| is_name(name)).ok_or("its name is none that a plugin can have")?;
    let version = version.ok_or("its version is none, or too long")?;
    Ok(Arc::new(Loaded { name, version, path, table, health: Arc::default() }))
}

/// Checks the table.
fn known(table: *const Plugin) -> Result<Table, String> {
    if table.is_null() {
        return Err("its table is null".to_owned());
    }
    if !table.is_aligned() {
        return Err("its table is where none can be".to_owned());
    }
    // SAFETY: these two fields begin the table in every version of the interface.
    let (abi, size) = unsafe { ((*table).abi, (*table).size) };
    if abi != ABI {
        return Err(other_version(abi));
    }
    if size < size_of::<Plugin>() {
        return Err(format!("its table has {size} bytes, and {} are needed", size_of::<Plugin>()));
    }
    // SAFETY: it is there, aligned, of this version and whole; and it stays, as the interface says.
    let table = unsafe { &*table };
    let functions = [
        ("create", table.create.is_none()),
        ("call", table.call.is_none()),
        ("destroy", table.destroy.is_none()),
        ("free", table.free.is_none()),
    ];
    let missing: Vec<&str> = functions.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect();
    if missing.is_empty() { Ok(Table(table)) } else { Err(format!("its table has no `{}`", missing.join("`, no `"))) }
}

/// A text of a plugin that ends with a zero within this many bytes.
///
/// # Safety
/// The pointer is null, or valid up to the zero.
unsafe fn string(text: *const c_char, max: usize) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller says that it is there.
    let length = (0..=max).find(|index| unsafe { *text.add(*index) } == 0)?;
    // SAFETY: it was read up to there just now.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty() && !text.contains(char::is_control))
        .map(str::to_owned)
}
