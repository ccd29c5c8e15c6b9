//! Values that backends keep for the life of a cluster, by name and type.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Values by name. A backend uses its own name, so that two backends do not collide.
#[derive(Default)]
pub struct Store {
    values: Mutex<BTreeMap<String, Arc<dyn Any + Send + Sync>>>,
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a value under a name, and drops an earlier one.
    pub fn put<T: Any + Send + Sync>(&self, name: &str, value: T) {
        self.lock().insert(name.to_owned(), Arc::new(value));
    }

    /// The value of this name, if it has this type.
    pub fn find<T: Any + Send + Sync>(&self, name: &str) -> Option<Arc<T>> {
        let value = self.lock().get(name).cloned()?;
        value.downcast().ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<dyn Any + Send + Sync>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}
