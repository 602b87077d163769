//! Annotations on Services.

use std::collections::BTreeMap;

use crate::constants::{DEPRECATED_POOL_ANNOTATION, POOL_ANNOTATION};

/// The prefix of all annotations that Lodestone reads or writes on Services.
pub const ANNOTATION_PREFIX: &str = "metallb.io/";
/// The older prefix. Lodestone reads it where the newer one is absent, and never writes it.
pub const DEPRECATED_ANNOTATION_PREFIX: &str = "metallb.universe.tf/";

/// Returns the value of annotation `name`, under the current prefix or else under the deprecated
/// one. An empty value under the current prefix counts as present: it overrides the deprecated
/// annotation.
#[must_use]
pub fn annotation<'a>(annotations: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    [ANNOTATION_PREFIX, DEPRECATED_ANNOTATION_PREFIX]
        .iter()
        .find_map(|prefix| annotations.get(&format!("{prefix}{name}")))
        .map(String::as_str)
}

/// Returns the pool that the addresses of a Service come from. The controller or MetalLB recorded
/// it under the current prefix, or else under the deprecated one.
#[must_use]
pub fn recorded_pool(annotations: &BTreeMap<String, String>) -> Option<&str> {
    [POOL_ANNOTATION, DEPRECATED_POOL_ANNOTATION]
        .iter()
        .find_map(|key| annotations.get(*key))
        .map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotation_with_the_current_prefix_wins_even_when_empty() {
        let both = BTreeMap::from([
            ("metallb.io/address-pool".to_owned(), String::new()),
            ("metallb.universe.tf/address-pool".to_owned(), "old".to_owned()),
        ]);
        assert_eq!(annotation(&both, "address-pool"), Some(""));
        let old = BTreeMap::from([("metallb.universe.tf/address-pool".to_owned(), "old".to_owned())]);
        assert_eq!(annotation(&old, "address-pool"), Some("old"));
        assert_eq!(annotation(&old, "allow-shared-ip"), None);
    }
}
