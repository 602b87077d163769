//! The keys that seal and open the messages between speakers, across key rotations.
//!
//! Speakers learn of a rotation at different times. Until a peer can be assumed to have the new
//! key, it is written to under an older one. Old keys still open datagrams for a while.
//!
//! # States of a key
//!
//! ```text
//!   rotate (this key arrives)
//!         │
//!         ▼
//!  ┌──────────────┐  10 s   ┌──────────────┐
//!  │ present,     ├────────►│ present,     │
//!  │ in its grace │         │ settled      │
//!  └──────┬───────┘         └──────┬───────┘
//!         │ rotate                 │ rotate (the next key arrives)
//!         ▼                        ▼
//!  ┌───────────────────────────────────────┐  10 min later,  ┌─────────┐
//!  │ replaced, kept                        ├────────────────►│ dropped │
//!  └───────────────────────────────────────┘  or 3 rotations └─────────┘
//!                                             later
//! ```
//!
//! | State | Opens datagrams | Seals datagrams to a peer |
//! |---|---|---|
//! | present, in its grace | yes | only if that peer has used this key |
//! | present, settled | yes | yes |
//! | replaced, kept | yes | while it is the newest key that the peer surely knows |
//! | dropped | no | no |
//!
//! A key counts as known to every peer once its grace of 10 s has passed, even if another key
//! replaced it meanwhile. It counts as known to one peer as soon as that peer has used this key or
//! a newer one. The first key of a process has no grace: it is settled from the start.
//!
//! Four rotations within 10 s can push out every key that a peer surely knows. The oldest kept key
//! then seals the datagrams to that peer.

use std::{
    collections::BTreeMap,
    iter::once,
    time::{Duration, Instant},
};

use crate::{
    types::NodeName,
    wire::envelope::{Key, OpenError},
};

/// How long after a rotation a peer that has not used the new key may still not know it. Until then
/// this speaker writes to the peer under an older key.
const ROTATION_GRACE: Duration = Duration::from_secs(10);

/// How long a replaced key still opens datagrams, for peers that have lost the API server.
/// Afterwards a stolen key is worthless.
const KEPT: Duration = Duration::from_secs(600);

/// Replaced keys kept at most. A peer that missed the latest rotation may still use a key that is
/// two rotations old. Each undecryptable datagram is tried against every kept key.
const MAX_REPLACED_KEYS: usize = 3;

/// The present key and the replaced keys that are still of use.
#[derive(Debug)]
pub struct KeyRing {
    present: HeldKey,
    /// Replaced keys, the newest first.
    replaced: Vec<HeldKey>,
    /// The newest key that each peer has used, unless every peer must know that key anyway. The
    /// peer knows this key and all before it.
    used: BTreeMap<NodeName, KeyNumber>,
}

/// The position of a key in the order of arrival: 0 for the first key of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyNumber(u64);

/// A key with the times of its rotations.
#[derive(Debug)]
struct HeldKey {
    key: Key,
    number: KeyNumber,
    /// When this process learned the key; `None` for the first one, which has no grace.
    since: Option<Instant>,
    /// When another key replaced it; `None` for the present key.
    replaced: Option<Instant>,
}

impl KeyRing {
    /// Creates a ring with one key, which counts as known to every peer.
    #[must_use]
    pub const fn new(key: Key) -> Self {
        Self {
            present: HeldKey {
                key,
                number: KeyNumber(0),
                since: None,
                replaced: None,
            },
            replaced: Vec::new(),
            used: BTreeMap::new(),
        }
    }

    /// Makes `key` the present key and keeps the one before.
    pub fn rotate(&mut self, now: Instant, key: Key) {
        let known_to_all = self.known_to_all(now);
        self.used.retain(|_, used| *used > known_to_all);
        let next = HeldKey {
            key,
            number: KeyNumber(self.present.number.0 + 1),
            since: Some(now),
            replaced: None,
        };
        let mut last = std::mem::replace(&mut self.present, next);
        last.replaced = Some(now);
        self.replaced.insert(0, last);
        self.replaced.truncate(MAX_REPLACED_KEYS);
    }

    /// Returns the newest key whose grace has passed.
    fn known_to_all(&self, now: Instant) -> KeyNumber {
        let is_settled = |held: &&HeldKey| held.since.is_none_or(|since| now >= since + ROTATION_GRACE);
        let newest = once(&self.present).chain(&self.replaced).find(is_settled);
        newest.map_or(KeyNumber(0), |held| held.number)
    }

    /// Returns the key that seals datagrams to `node`: the newest key that this peer surely knows.
    #[must_use]
    pub fn for_peer(&self, now: Instant, node: &NodeName) -> &Key {
        let used = self.used.get(node).copied().unwrap_or(KeyNumber(0));
        let known = self.known_to_all(now).max(used);
        let newest = once(&self.present)
            .chain(&self.replaced)
            .find(|held| held.number <= known);
        &newest.or_else(|| self.replaced.last()).unwrap_or(&self.present).key
    }

    /// Opens a datagram. Returns the message and the number of the key that sealed it.
    ///
    /// # Errors
    /// The error of the present key, if neither that key nor a kept one opens the datagram.
    pub fn open(&self, now: Instant, bytes: &[u8]) -> Result<(Vec<u8>, KeyNumber), OpenError> {
        let error = match self.present.key.open(bytes) {
            Ok(message) => return Ok((message, self.present.number)),
            Err(error) => error,
        };
        let is_kept = |held: &&HeldKey| held.replaced.is_none_or(|replaced| now < replaced + KEPT);
        let mut opened = self
            .replaced
            .iter()
            .filter(is_kept)
            .filter_map(|held| Some((held.key.open(bytes).ok()?, held.number)));
        opened.next().ok_or(error)
    }

    /// Records that the peer `node` has used the key `used`, as [`Self::open`] returned it.
    pub fn note_used_by(&mut self, now: Instant, node: &NodeName, used: KeyNumber) {
        // A key that every peer knows needs no record for each of them.
        let is_news = self.used.get(node).is_none_or(|newest| used > *newest) && used > self.known_to_all(now);
        if is_news {
            self.used.insert(node.clone(), used);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::envelope::Sealer;

    fn key(secret: &str) -> Key {
        Key::new(secret.as_bytes()).unwrap()
    }

    #[test]
    fn rotation_keeps_all_peers_readable_and_then_drops_the_old_key() {
        let now = crate::testing::start();
        let mut sealer = Sealer::new([7; 16]);
        let mut sealed = |key: &Key| sealer.seal(key, b"hello").unwrap();
        let peer: NodeName = "b".into();
        let mut keys = KeyRing::new(key("old"));
        let old = sealed(&key("old"));
        keys.rotate(now, key("new"));
        let new = sealed(&key("new"));
        assert_eq!(keys.open(now, &old).unwrap().1, KeyNumber(0));
        assert_eq!(keys.open(now, &new).unwrap().1, KeyNumber(1));
        // The peer has not used the new key yet.
        let sealed_to_peer = sealed(keys.for_peer(now, &peer));
        assert!(key("old").open(&sealed_to_peer).is_ok());
        keys.note_used_by(now, &peer, KeyNumber(1));
        let sealed_to_peer = sealed(keys.for_peer(now, &peer));
        assert!(key("new").open(&sealed_to_peer).is_ok());
        // A silent peer is written to under the new key once the grace has passed.
        let sealed_to_silent = sealed(keys.for_peer(now + ROTATION_GRACE, &"c".into()));
        assert!(key("new").open(&sealed_to_silent).is_ok());
        assert!(keys.open(now + KEPT, &old).is_err());
        assert!(keys.open(now, &sealed(&key("foreign"))).is_err());
    }

    /// Three speakers write to each other all the time, and learn of three rotations at different
    /// times within the grace. Checks that each datagram opens.
    fn assert_all_readable(pauses: [u64; 3], delays: [[u64; 3]; 3]) -> Result<(), TestCaseError> {
        let (start, mut rotated) = (crate::testing::start(), 0);
        let rotations = pauses.map(|pause| {
            rotated += pause;
            rotated
        });
        let names: [NodeName; 3] = ["a".into(), "b".into(), "c".into()];
        let secrets = ["first", "second", "third"];
        let mut speakers = names.clone().map(|_| (KeyRing::new(key("old")), 0));
        let mut sealer = Sealer::new([7; 16]);
        for time in (0..rotated + 25_000).step_by(100) {
            let now = start + Duration::from_millis(time);
            for (delays, (keys, learned)) in delays.iter().zip(&mut speakers) {
                // Rotations arrive in order.
                while *learned < 3 && rotations[*learned] + delays[*learned] <= time {
                    keys.rotate(now, key(secrets[*learned]));
                    *learned += 1;
                }
            }
            for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
                let sealed = sealer
                    .seal(speakers[from].0.for_peer(now, &names[to]), b"hello")
                    .unwrap();
                let opened = speakers[to].0.open(now, &sealed);
                prop_assert!(
                    opened.is_ok(),
                    "after {} ms, from {} to {}",
                    time,
                    names[from],
                    names[to]
                );
                speakers[to].0.note_used_by(now, &names[from], opened.unwrap().1);
            }
        }
        // At the end the last key is in use.
        let last = sealer.seal(
            speakers[0]
                .0
                .for_peer(start + Duration::from_millis(rotated + 25_000), &names[1]),
            b"",
        );
        prop_assert!(key("third").open(&last.unwrap()).is_ok());
        Ok(())
    }

    #[test]
    fn rotation_within_the_grace_of_the_previous_one_keeps_all_readable() {
        assert_all_readable([1000, 8000, 8000], [[0, 0, 0], [300, 300, 300], [0, 500, 0]]).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn rotations_at_any_pace_keep_all_readable(
            pauses in prop::array::uniform3(0..20_000_u64), delays in prop::array::uniform3(prop::array::uniform3(0..9_500_u64)),
        ) {
            assert_all_readable(pauses, delays)?;
        }
    }
}
