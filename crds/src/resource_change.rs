//! What a watch of the API server reports.

use crate::ObjectKey;

/// A change of the objects of one kind at the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum ResourceChange<K> {
    /// The object was created or changed, or it is part of a new list.
    Applied(K),
    /// The object was deleted.
    Gone(ObjectKey),
    /// The object was created or changed, and cannot be decoded. The text is the reason.
    Undecodable(ObjectKey, String),
    /// The list is complete: the consumer knows every object that exists.
    Synced,
}

impl<K> ResourceChange<K> {
    /// Converts the object of an [`Applied`](Self::Applied) change and keeps all other changes.
    pub fn map<T>(self, convert: impl FnOnce(K) -> T) -> ResourceChange<T> {
        match self {
            Self::Applied(object) => ResourceChange::Applied(convert(object)),
            Self::Gone(key) => ResourceChange::Gone(key),
            Self::Undecodable(key, error) => ResourceChange::Undecodable(key, error),
            Self::Synced => ResourceChange::Synced,
        }
    }
}
