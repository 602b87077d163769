//! What a process waits for before it is ready.

use std::sync::{Arc, Mutex, PoisonError};

/// The list of what has not happened yet. The process is ready when it is empty.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Vec<&'static str>>>);

/// One thing to wait for; opening or dropping it says that it has happened.
#[derive(Debug)]
pub struct Gate {
    name: &'static str,
    list: Readiness,
}

impl Readiness {
    /// Adds something to wait for.
    #[must_use]
    pub fn gate(&self, name: &'static str) -> Gate {
        self.with(|waiting| waiting.push(name));
        Gate {
            name,
            list: self.clone(),
        }
    }

    /// What has not happened yet.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<&'static str> {
        self.with(|waiting| waiting.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<&'static str>) -> T) -> T {
        // A std mutex: it is held for a few instructions, never across an await.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Gate {
    /// Says that it has happened.
    pub fn open(self) {
        drop(self);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.list.with(|waiting| {
            if let Some(position) = waiting.iter().position(|name| *name == self.name) {
                waiting.swap_remove(position);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_gate_is_open() {
        let readiness = Readiness::default();
        let (a, b) = (readiness.gate("services"), readiness.gate("pools"));
        assert_eq!(readiness.waiting_for(), ["services", "pools"]);
        a.open();
        assert_eq!(readiness.waiting_for(), ["pools"]);
        b.open();
        assert!(readiness.waiting_for().is_empty());
    }
}
