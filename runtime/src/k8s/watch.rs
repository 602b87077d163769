//! Watches in which one bad object harms nothing else.

use std::{
    collections::{HashSet, VecDeque},
    fmt::Debug,
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;

use lodestone_crds::ObjectKey;

use super::decode_guard::Guarded;
use crate::clock;

/// A connection that died without a word is noticed after this many seconds (and a few more).
const TIMEOUT: u32 = 60;

/// How long a watch that failed waits for its next try, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(30));

/// A change of what the API server holds.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent<K> {
    /// The object is new or has changed.
    Applied(K),
    /// The object is gone.
    Gone(ObjectKey),
    /// The object is new or has changed, and can't be decoded; the text says why.
    Undecodable(ObjectKey, String),
    /// Everything that was there when the watch began has been told.
    Synced,
}

impl<K> WatchEvent<K> {
    /// The same change of what `convert` makes of the object.
    pub fn map<T>(self, convert: impl FnOnce(K) -> T) -> WatchEvent<T> {
        match self {
            Self::Applied(object) => WatchEvent::Applied(convert(object)),
            Self::Gone(key) => WatchEvent::Gone(key),
            Self::Undecodable(key, error) => WatchEvent::Undecodable(key, error),
            Self::Synced => WatchEvent::Synced,
        }
    }
}

/// Watches `api`, for ever. Lost connections are taken up again by themselves; what went away meanwhile is told as gone. Errors are
/// logged when they begin and when they end.
pub fn changes<K>(api: Api<Guarded<K>>, config: watcher::Config) -> impl Stream<Item = WatchEvent<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + DeserializeOwned + 'static,
{
    let events = watcher::watcher(api, config.timeout(TIMEOUT)).boxed();
    let diff = Diff {
        kind: K::kind(&()).into_owned(),
        ..Diff::default()
    };
    stream::unfold(
        (events, diff, VecDeque::new()),
        |(mut events, mut diff, mut ready)| async move {
            loop {
                if let Some(change) = ready.pop_front() {
                    return Some((change, (events, diff, ready)));
                }
                match events.next().await? {
                    Ok(event) => diff.event(event, &mut ready),
                    Err(error) => tokio::time::sleep(diff.error(&error)).await,
                }
            }
        },
    )
}

/// Turns lists and watches into changes.
#[derive(Default)]
struct Diff {
    kind: String,
    known: HashSet<ObjectKey>,
    listing: HashSet<ObjectKey>,
    failures: u32,
}

impl Diff {
    fn event<K: Resource<DynamicType = ()>>(&mut self, event: Event<Guarded<K>>, out: &mut VecDeque<WatchEvent<K>>) {
        // A list that is about to be asked for is no answer yet.
        if !matches!(event, Event::Init) && std::mem::take(&mut self.failures) > 0 {
            tracing::info!(kind = self.kind, "the API server answers again");
        }
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => {
                self.listing.insert(ObjectKey::of(&object));
                out.push_back(decoded(object));
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listing);
                let known = std::mem::replace(&mut self.known, listed);
                out.extend(
                    known
                        .into_iter()
                        .filter(|key| !self.known.contains(key))
                        .map(WatchEvent::Gone),
                );
                out.push_back(WatchEvent::Synced);
            }
            Event::Apply(object) => {
                self.known.insert(ObjectKey::of(&object));
                out.push_back(decoded(object));
            }
            Event::Delete(object) => {
                let key = ObjectKey::of(&object);
                self.known.remove(&key);
                out.push_back(WatchEvent::Gone(key));
            }
        }
    }

    /// Gives back how long to wait before the next try: longer each time, and not the same in a thousand processes.
    fn error(&mut self, error: &watcher::Error) -> Duration {
        if self.failures == 0 {
            tracing::warn!(kind = self.kind, %error, "the API server does not answer; what is known stays in force");
        }
        let wait = BACKOFF.0.saturating_mul(1 << self.failures.min(10)).min(BACKOFF.1);
        self.failures = self.failures.saturating_add(1);
        let part = u32::try_from(clock::wall_nanoseconds() / 1000 % 1000).unwrap_or_default();
        wait / 2 + wait / 2 * part / 1000
    }
}

fn decoded<K: Resource<DynamicType = ()>>(object: Guarded<K>) -> WatchEvent<K> {
    match object.0 {
        Ok(object) => WatchEvent::Applied(object),
        Err(invalid) => {
            let namespace = invalid.metadata.namespace.unwrap_or_default();
            let key = ObjectKey {
                namespace,
                name: invalid.metadata.name.unwrap_or_default(),
            };
            WatchEvent::Undecodable(key, invalid.error)
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str) -> Guarded<ConfigMap> {
        serde_json::from_str(&format!(r#"{{"metadata": {{"namespace": "n", "name": "{name}"}}}}"#)).unwrap()
    }

    fn bad(name: &str) -> Guarded<ConfigMap> {
        serde_json::from_str(&format!(
            r#"{{"metadata": {{"namespace": "n", "name": "{name}"}}, "data": 7}}"#
        ))
        .unwrap()
    }

    fn told(changes: VecDeque<WatchEvent<ConfigMap>>) -> Vec<String> {
        changes
            .into_iter()
            .map(|change| match change {
                WatchEvent::Applied(object) => format!("applied {}", ObjectKey::of(&object)),
                WatchEvent::Gone(key) => format!("gone {key}"),
                WatchEvent::Undecodable(key, _) => format!("undecodable {key}"),
                WatchEvent::Synced => "synced".to_owned(),
            })
            .collect()
    }

    #[test]
    fn what_is_missing_from_a_new_list_is_told_as_gone_and_a_bad_object_stands_alone() {
        let mut diff = Diff::default();
        let mut first = VecDeque::new();
        for event in [
            Event::Init,
            Event::InitApply(object("a")),
            Event::InitApply(bad("b")),
            Event::InitDone,
        ] {
            diff.event(event, &mut first);
        }
        diff.event(Event::Apply(object("c")), &mut first);
        assert_eq!(told(first), ["applied n/a", "undecodable n/b", "synced", "applied n/c"]);
        let mut second = VecDeque::new();
        for event in [
            Event::Init,
            Event::InitApply(object("c")),
            Event::InitDone,
            Event::Delete(object("c")),
        ] {
            diff.event(event, &mut second);
        }
        let mut told = told(second);
        told[1..3].sort();
        assert_eq!(told, ["applied n/c", "gone n/a", "gone n/b", "synced", "gone n/c"]);
    }

    #[test]
    fn a_list_that_broke_off_takes_nothing_away() {
        let mut diff = Diff::default();
        let mut changes = VecDeque::new();
        for event in [
            Event::Init,
            Event::InitApply(object("a")),
            Event::InitApply(object("b")),
            Event::InitDone,
        ] {
            diff.event(event, &mut changes);
        }
        changes.clear();
        for event in [
            Event::Init,
            Event::InitApply(object("a")),
            Event::Init,
            Event::InitApply(object("b")),
            Event::InitDone,
        ] {
            diff.event(event, &mut changes);
        }
        assert_eq!(told(changes), ["applied n/a", "applied n/b", "gone n/a", "synced"]);
    }
}
