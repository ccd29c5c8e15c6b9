//! Backends by name. A value, not a global: two clusters in one process may know different backends.

use std::sync::Arc;

use super::NetBackend;

/// The backends that a cluster can choose from; the first is the default.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    backends: Vec<Arc<dyn NetBackend>>,
}

/// Why a name does not lead to a backend, or cannot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No backend has the name.
    #[error("there is no backend `{name}`; there {are}", are = there_are(known))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A backend of the same name is registered already.
    #[error("there are two backends named `{0}`")]
    Twice(String),
}

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
    /// Nobody has the name; the error lists those that exist.
    pub fn find(&self, name: &str) -> Result<&Arc<dyn NetBackend>, RegistryError> {
        self.backends.iter().find(|backend| backend.name() == name).ok_or_else(|| RegistryError::Unknown {
            name: name.to_owned(),
            known: self.names().map(str::to_owned).collect(),
        })
    }

    /// The backend for nets that name none: the first that was added.
    pub fn default_backend(&self) -> Option<&Arc<dyn NetBackend>> {
        self.backends.first()
    }

    /// The names, in the order of registration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.backends.iter().map(|backend| backend.name())
    }
}

fn there_are(known: &[String]) -> String {
    match known {
        [] => "is none".to_owned(),
        [one] => format!("is `{one}`"),
        many => format!("are {}", many.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}
