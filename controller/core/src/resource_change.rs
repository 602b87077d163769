//! What a watch reports.

use lodestone_crds::ObjectKey;

/// A change of an object at the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum ResourceChange<K> {
    /// The object is new or has changed.
    Applied(K),
    /// The object no longer exists.
    Gone(ObjectKey),
    /// The object is new or has changed, and cannot be decoded. The text says why.
    Undecodable(ObjectKey, String),
    /// The watch has reported every object that existed when it began.
    Synced,
}
