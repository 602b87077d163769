//! What a process waits for before it is ready.
//!
//! Each part of the process that has to finish first holds a [`Gate`]. The process is ready when no
//! gate is left.

use std::sync::{Arc, Mutex, PoisonError};

/// The list of gates that are still closed. Clones share the list.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Vec<&'static str>>>);

/// One precondition of readiness. It is met when the gate is opened or dropped.
#[derive(Debug)]
pub struct Gate {
    name: &'static str,
    list: Readiness,
}

impl Readiness {
    /// Adds a precondition. `/readyz` shows its `name` until the gate is open.
    #[must_use]
    pub fn gate(&self, name: &'static str) -> Gate {
        self.with(|waiting| waiting.push(name));
        Gate {
            name,
            list: self.clone(),
        }
    }

    /// Returns the names of all closed gates.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<&'static str> {
        self.with(|waiting| waiting.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<&'static str>) -> T) -> T {
        // A std mutex suffices: it is held for a few instructions, never across an await.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Gate {
    /// Marks the precondition as met.
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
    fn process_is_ready_when_all_gates_are_open() {
        let readiness = Readiness::default();
        let (a, b) = (readiness.gate("services"), readiness.gate("pools"));
        assert_eq!(readiness.waiting_for(), ["services", "pools"]);
        a.open();
        assert_eq!(readiness.waiting_for(), ["pools"]);
        b.open();
        assert!(readiness.waiting_for().is_empty());
    }
}
