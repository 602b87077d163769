//! The keys that messages are sealed with, while one takes the place of another: not all speakers hear of that at the same time.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::wire::{
    envelope::{Key, OpenError},
    message::NodeName,
};

/// For so long those who have not used the new key yet may not know it: they are written to with the old one.
const GRACE: Duration = Duration::from_secs(10);

/// For so long messages under the old key are opened: for those who have lost the API server. Afterwards it is worth nothing to whoever has
/// stolen it.
const KEPT: Duration = Duration::from_secs(600);

/// The present key and the one before.
#[derive(Debug)]
pub(super) struct Keys {
    present: Key,
    /// The one before, and when it was replaced.
    before: Option<(Key, Instant)>,
    /// Those who have used the present key.
    know: BTreeSet<NodeName>,
}

/// Which key a message was sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Used {
    Present,
    Before,
}

impl Keys {
    pub(super) const fn new(key: Key) -> Self {
        Self {
            present: key,
            before: None,
            know: BTreeSet::new(),
        }
    }

    /// Takes another key.
    pub(super) fn change(&mut self, now: Instant, key: Key) {
        self.before = Some((std::mem::replace(&mut self.present, key), now));
        self.know.clear();
    }

    /// The key for messages to a peer.
    pub(super) fn for_peer(&self, now: Instant, node: &NodeName) -> &Key {
        match &self.before {
            Some((key, since)) if now < *since + GRACE && !self.know.contains(node) => key,
            _ => &self.present,
        }
    }

    /// Opens a datagram.
    pub(super) fn open(&self, now: Instant, bytes: &[u8]) -> Result<(Vec<u8>, Used), OpenError> {
        self.present
            .open(bytes)
            .map(|message| (message, Used::Present))
            .or_else(|error| {
                let before = self.before.as_ref().filter(|(_, since)| now < *since + KEPT);
                let (key, _) = before.ok_or(error)?;
                Ok((key.open(bytes)?, Used::Before))
            })
    }

    /// Takes in which key a peer has used.
    pub(super) fn used_by(&mut self, node: &NodeName, used: Used) {
        if used == Used::Present && self.before.is_some() && !self.know.contains(node) {
            self.know.insert(node.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::envelope::Sealer;

    fn key(secret: &str) -> Key {
        Key::new(secret.as_bytes()).unwrap()
    }

    #[test]
    fn while_a_key_is_replaced_everybody_is_understood_and_the_old_one_is_worth_nothing_in_the_end() {
        let now = lodestone_daemon::clock::now();
        let mut sealer = Sealer::new([7; 16]);
        let mut sealed = |key: &Key| sealer.seal(key, b"hello").unwrap();
        let peer: NodeName = "b".into();
        let mut keys = Keys::new(key("old"));
        let old = sealed(&key("old"));
        keys.change(now, key("new"));
        let new = sealed(&key("new"));
        assert_eq!(keys.open(now, &old).unwrap().1, Used::Before);
        assert_eq!(keys.open(now, &new).unwrap().1, Used::Present);
        // It has not used the new one yet.
        let to_it = sealed(keys.for_peer(now, &peer));
        assert!(key("old").open(&to_it).is_ok());
        keys.used_by(&peer, Used::Present);
        let to_it = sealed(keys.for_peer(now, &peer));
        assert!(key("new").open(&to_it).is_ok());
        // Another one that says nothing gets the new one after a while.
        let to_other = sealed(keys.for_peer(now + GRACE, &"c".into()));
        assert!(key("new").open(&to_other).is_ok());
        assert!(keys.open(now + KEPT, &old).is_err());
        assert!(keys.open(now, &sealed(&key("foreign"))).is_err());
    }
}
