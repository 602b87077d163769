//! The annotations on Services.

use std::collections::BTreeMap;

/// Prefix of every annotation that Lodestone reads or writes.
pub const ANNOTATION_PREFIX: &str = "metallb.io/";
/// The older prefix; read where the newer one is absent, never written.
pub const DEPRECATED_ANNOTATION_PREFIX: &str = "metallb.universe.tf/";

/// The value of annotation `name` under the prefix in use, else under the deprecated one. A key that is present with an empty
/// value wins over the deprecated key: it is how a user switches the older one off.
#[must_use]
pub fn annotation<'a>(annotations: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    [ANNOTATION_PREFIX, DEPRECATED_ANNOTATION_PREFIX]
        .iter()
        .find_map(|prefix| annotations.get(&format!("{prefix}{name}")))
        .map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_prefix_wins_even_when_empty() {
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
