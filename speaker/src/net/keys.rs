//! The keys that messages are sealed with, while one takes the place of another: not all speakers hear of that at the same time.

use std::{
    collections::BTreeMap,
    iter::once,
    time::{Duration, Instant},
};

use crate::wire::{
    envelope::{Key, OpenError},
    message::NodeName,
};

/// For so long those who have not used a new key yet may not know it: they are written to with an older one.
const GRACE: Duration = Duration::from_secs(10);

/// For so long messages under an old key are opened: for those who have lost the API server. Afterwards it is worth nothing to whoever has
/// stolen it.
const KEPT: Duration = Duration::from_secs(600);

/// How many old keys are kept at most: whoever has not heard of the last change may still write with a key from before the one before it. Each
/// is tried on every message that is not understood.
const OLD: usize = 3;

/// The present key and those before.
#[derive(Debug)]
pub(super) struct Keys {
    present: Held,
    /// The newest first.
    before: Vec<Held>,
    /// The newest key that somebody has used, where not everybody knows that yet: it and all before it are known there.
    used: BTreeMap<NodeName, Used>,
}

/// Which key a message was sealed with: they are numbered as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Used(u64);

#[derive(Debug)]
struct Held {
    key: Key,
    number: Used,
    /// Since when it is known here; the first one always was.
    since: Option<Instant>,
    /// When another one took its place.
    replaced: Option<Instant>,
}

impl Keys {
    pub(super) const fn new(key: Key) -> Self {
        Self {
            present: Held {
                key,
                number: Used(0),
                since: None,
                replaced: None,
            },
            before: Vec::new(),
            used: BTreeMap::new(),
        }
    }

    /// Takes another key.
    pub(super) fn change(&mut self, now: Instant, key: Key) {
        let all_know = self.all_know(now);
        self.used.retain(|_, used| *used > all_know);
        let next = Held {
            key,
            number: Used(self.present.number.0 + 1),
            since: Some(now),
            replaced: None,
        };
        let mut last = std::mem::replace(&mut self.present, next);
        last.replaced = Some(now);
        self.before.insert(0, last);
        self.before.truncate(OLD);
    }

    /// The newest key that everybody has had the time to hear of.
    fn all_know(&self, now: Instant) -> Used {
        let had_time = |held: &&Held| held.since.is_none_or(|since| now >= since + GRACE);
        let newest = once(&self.present).chain(&self.before).find(had_time);
        newest.map_or(Used(0), |held| held.number)
    }

    /// The key for messages to a peer: the newest that it surely knows, since it has used it or had the time to hear of it.
    pub(super) fn for_peer(&self, now: Instant, node: &NodeName) -> &Key {
        let knows = self.all_know(now).max(self.used.get(node).copied().unwrap_or(Used(0)));
        let newest = once(&self.present)
            .chain(&self.before)
            .find(|held| held.number <= knows);
        &newest.or_else(|| self.before.last()).unwrap_or(&self.present).key
    }

    /// Opens a datagram.
    pub(super) fn open(&self, now: Instant, bytes: &[u8]) -> Result<(Vec<u8>, Used), OpenError> {
        let refused = match self.present.key.open(bytes) {
            Ok(message) => return Ok((message, self.present.number)),
            Err(error) => error,
        };
        let kept = |held: &&Held| held.replaced.is_none_or(|replaced| now < replaced + KEPT);
        let mut opened = self
            .before
            .iter()
            .filter(kept)
            .filter_map(|held| Some((held.key.open(bytes).ok()?, held.number)));
        opened.next().ok_or(refused)
    }

    /// Takes in which key a peer has used.
    pub(super) fn used_by(&mut self, now: Instant, node: &NodeName, used: Used) {
        // What everybody knows by now need not be remembered of each.
        let news = self.used.get(node).is_none_or(|newest| used > *newest) && used > self.all_know(now);
        if news {
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
    fn while_a_key_is_replaced_everybody_is_understood_and_the_old_one_is_worth_nothing_in_the_end() {
        let now = lodestone_runtime::clock::now();
        let mut sealer = Sealer::new([7; 16]);
        let mut sealed = |key: &Key| sealer.seal(key, b"hello").unwrap();
        let peer: NodeName = "b".into();
        let mut keys = Keys::new(key("old"));
        let old = sealed(&key("old"));
        keys.change(now, key("new"));
        let new = sealed(&key("new"));
        assert_eq!(keys.open(now, &old).unwrap().1, Used(0));
        assert_eq!(keys.open(now, &new).unwrap().1, Used(1));
        // It has not used the new one yet.
        let to_it = sealed(keys.for_peer(now, &peer));
        assert!(key("old").open(&to_it).is_ok());
        keys.used_by(now, &peer, Used(1));
        let to_it = sealed(keys.for_peer(now, &peer));
        assert!(key("new").open(&to_it).is_ok());
        // Another one that says nothing gets the new one after a while.
        let to_other = sealed(keys.for_peer(now + GRACE, &"c".into()));
        assert!(key("new").open(&to_other).is_ok());
        assert!(keys.open(now + KEPT, &old).is_err());
        assert!(keys.open(now, &sealed(&key("foreign"))).is_err());
    }

    /// Three speakers that hear of three changes at different times, each within the grace, and write to each other all the time.
    fn understood(pauses: [u64; 3], delays: [[u64; 3]; 3]) -> Result<(), TestCaseError> {
        let (start, mut changed) = (lodestone_runtime::clock::now(), 0);
        let changes = pauses.map(|pause| {
            changed += pause;
            changed
        });
        let names: [NodeName; 3] = ["a".into(), "b".into(), "c".into()];
        let secrets = ["first", "second", "third"];
        let mut speakers = names.clone().map(|_| (Keys::new(key("old")), 0));
        let mut sealer = Sealer::new([7; 16]);
        for time in (0..changed + 25_000).step_by(100) {
            let now = start + Duration::from_millis(time);
            for (delays, (keys, heard)) in delays.iter().zip(&mut speakers) {
                // A change is heard of after the one before it.
                while *heard < 3 && changes[*heard] + delays[*heard] <= time {
                    keys.change(now, key(secrets[*heard]));
                    *heard += 1;
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
                speakers[to].0.used_by(now, &names[from], opened.unwrap().1);
            }
        }
        // In the end the last key is in use.
        let last = sealer.seal(
            speakers[0]
                .0
                .for_peer(start + Duration::from_millis(changed + 25_000), &names[1]),
            b"",
        );
        prop_assert!(key("third").open(&last.unwrap()).is_ok());
        Ok(())
    }

    #[test]
    fn a_key_that_is_replaced_within_the_grace_of_the_one_before_is_understood_by_those_who_hear_of_it_first() {
        understood([1000, 8000, 8000], [[0, 0, 0], [300, 300, 300], [0, 500, 0]]).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn however_soon_keys_follow_on_each_other_everybody_is_understood(
            pauses in prop::array::uniform3(0..20_000_u64), delays in prop::array::uniform3(prop::array::uniform3(0..9_500_u64)),
        ) {
            understood(pauses, delays)?;
        }
    }
}
