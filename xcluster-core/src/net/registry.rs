//! Backends by name. A value and not a global: two clusters in one process may know different backends.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{NetBackend, NetError, Settings};
use crate::error_chain;
use crate::topology::Problems;

/// The backends that a cluster can choose from; the first is the default.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    backends: Vec<Arc<dyn NetBackend>>,
}

/// Why a name does not select a backend, or cannot be given to one.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No backend has the name.
    #[error("there is no backend `{name}`; there {are}", are = there_are(known))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names of the registered backends.
        known: Vec<String>,
    },
    /// A backend of the same name is registered already.
    #[error("there are two backends named `{0}`")]
    Twice(String),
}

error_chain::readable_debug!(RegistryError);

impl Registry {
    /// A registry without backends.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a backend under its own name.
    ///
    /// # Errors
    /// The name is taken.
    pub fn add(&mut self, backend: impl Into<Arc<dyn NetBackend>>) -> Result<(), RegistryError> {
        let backend = backend.into();
        if self.names().any(|name| name == backend.name()) {
            return Err(RegistryError::Twice(backend.name().to_owned()));
        }
        self.backends.push(backend);
        Ok(())
    }

    /// The backend of this name.
    ///
    /// # Errors
    /// No backend has the name; the error lists those that exist.
    pub fn find(&self, name: &str) -> Result<&Arc<dyn NetBackend>, RegistryError> {
        self.backends.iter().find(|backend| backend.name() == name).ok_or_else(|| RegistryError::Unknown {
            name: name.to_owned(),
            known: self.names().map(str::to_owned).collect(),
        })
    }

    /// Returns these backends with the topology's settings applied, each with those under its name.
    ///
    /// # Errors
    /// Every setting that its backend does not take, and every name without a backend, with their places: `backend.NAME.KEY`.
    pub fn configured(&self, settings: &BTreeMap<String, Settings>) -> Result<Self, Problems> {
        let mut configured = self.clone();
        let mut problems = Problems::default();
        for (name, settings) in settings {
            let place = format!("backend.{name}");
            match self.find(name) {
                Ok(backend) => match backend.configured(settings) {
                    Ok(backend) => configured.replace(name, backend),
                    Err(found) => problems.extend(found.within(&place)),
                },
                Err(error) => problems.add(place, error),
            }
        }
        problems.into_result().map(|()| configured)
    }

    fn replace(&mut self, name: &str, by: Arc<dyn NetBackend>) {
        for backend in self.backends.iter_mut().filter(|backend| backend.name() == name) {
            *backend = by.clone();
        }
    }

    /// The backend for nets that name none: the one that was added first.
    pub fn default_backend(&self) -> Option<&Arc<dyn NetBackend>> {
        self.backends.first()
    }

    /// Moves the first backend that this host can use to the front. Returns which one that is, and why the ones before it
    /// cannot be used. If none can be used the order stays, and the first backend reports why.
    #[must_use]
    pub fn usable_first(mut self) -> (Self, Option<SkippedBackends>) {
        let mut skipped = Vec::new();
        let mut found = None;
        for (place, backend) in self.backends.iter().enumerate() {
            match backend.usable() {
                Ok(()) => {
                    found = Some(place);
                    break;
                }
                Err(error) => skipped.push((backend.name().to_owned(), error)),
            }
        }
        let Some(place) = found.filter(|place| *place > 0) else { return (self, None) };
        self.backends[..=place].rotate_right(1);
        let chosen = self.backends[0].name().to_owned();
        (self, Some(SkippedBackends { chosen, skipped }))
    }

    /// The names, in the order of registration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.backends.iter().map(|backend| backend.name())
    }
}

/// A choice of a backend other than the first.
#[derive(Debug)]
pub struct SkippedBackends {
    /// The backend that was chosen.
    pub chosen: String,
    /// The backends before it, and why they cannot be used.
    pub skipped: Vec<(String, NetError)>,
}

/// For people: "backend `user`, since `bridge` cannot be used here: …".
impl std::fmt::Display for SkippedBackends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = self.skipped.iter().map(|(name, error)| {
            let why = error_chain::one_line(error);
            format!("`{name}` cannot be used here: {why}")
        });
        let why: Vec<String> = why.collect();
        write!(f, "backend `{}`, since {}", self.chosen, why.join("; "))
    }
}

fn there_are(known: &[String]) -> String {
    match known {
        [] => "is none".to_owned(),
        [one] => format!("is `{one}`"),
        many => format!("are {}", many.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}
