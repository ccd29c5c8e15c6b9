//! What somebody remembers of a cluster for as long as it lives, by name and type. Says nothing of what that is.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Values by name. A backend uses its own name, so that two of a kind do not meet.
#[derive(Default)]
pub struct Store {
    values: Mutex<BTreeMap<String, Arc<dyn Any + Send + Sync>>>,
}

impl Store {
    /// Nothing remembered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers `value`, in place of what had the name.
    pub fn put<T: Any + Send + Sync>(&self, name: &str, value: T) {
        self.lock().insert(name.to_owned(), Arc::new(value));
    }

    /// What was remembered under the name, if it is of this type.
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
