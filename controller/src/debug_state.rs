//! The answer to `/debug/state`.

use std::collections::BTreeMap;

use lodestone_controller_core::Reconciler;
use serde::Serialize;
use serde_json::Value;

/// What the controller knows, for people.
#[derive(Serialize)]
struct ControllerState<'a> {
    /// The addresses in use, with the Services that hold them.
    addresses: BTreeMap<String, Vec<String>>,
    /// The pools in use.
    pools: Vec<&'a str>,
    /// The configuration objects that are not in use, and why.
    refused: Vec<String>,
    /// What does not work, by Service.
    problems: BTreeMap<String, &'a str>,
    /// The Services that retain addresses, with the pool.
    retained: BTreeMap<String, &'a str>,
    /// Whether this replica allocates addresses.
    allocating: bool,
    /// How many Services wait to be planned.
    queue: usize,
}

pub(crate) fn debug_state(reconciler: &Reconciler) -> Value {
    let config = reconciler.config();
    let addresses = reconciler.allocator().in_use();
    let problems = reconciler.problems().iter();
    let retained = reconciler.retained().iter();
    let state = ControllerState {
        addresses: addresses
            .map(|(address, holders)| (address.to_string(), holders.map(ToString::to_string).collect()))
            .collect(),
        pools: config.pools.keys().map(String::as_str).collect(),
        refused: config.refused.iter().map(ToString::to_string).collect(),
        problems: problems
            .map(|(key, notice)| (key.to_string(), notice.text.as_str()))
            .collect(),
        retained: retained.map(|(key, pool)| (key.to_string(), pool.as_str())).collect(),
        allocating: reconciler.is_allocating(),
        queue: reconciler.queue_length(),
    };
    // Plain data can always be written as JSON.
    serde_json::to_value(state).unwrap_or_default()
}
