//! Watches in which one bad object does not affect the others.
//!
//! [`changes`] turns kube's list and watch events into [`ResourceChange`]s. It remembers which
//! objects exist, so that an object deleted while the watch was down is reported as gone after a
//! new list.

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
use lodestone_crds::{ObjectKey, ResourceChange};
use serde::de::DeserializeOwned;

use super::decode_guard::Guarded;
use crate::clock;

/// The longest duration of one watch request, in seconds. A few seconds after it a connection that
/// died silently is noticed.
const WATCH_TIMEOUT: u32 = 60;

/// The delay before the first retry of a failed watch.
const FIRST_BACKOFF: Duration = Duration::from_millis(800);

/// The longest delay between two retries.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Watches the objects of `api`. The stream does not end: it retries a failed watch with back-off,
/// and lists all objects again where that is needed. It logs the first failure and the recovery.
pub fn changes<K>(api: Api<Guarded<K>>, config: watcher::Config) -> impl Stream<Item = ResourceChange<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + DeserializeOwned + 'static,
{
    let events = watcher::watcher(api, config.timeout(WATCH_TIMEOUT)).boxed();
    let translator = Translator {
        kind: K::kind(&()).into_owned(),
        ..Translator::default()
    };
    stream::unfold(
        (events, translator, VecDeque::new()),
        |(mut events, mut translator, mut ready)| async move {
            loop {
                if let Some(event) = ready.pop_front() {
                    return Some((event, (events, translator, ready)));
                }
                match events.next().await? {
                    Ok(event) => translator.handle_event(event, &mut ready),
                    Err(error) => tokio::time::sleep(translator.handle_error(&error)).await,
                }
            }
        },
    )
}

/// Turns kube's list and watch events into [`ResourceChange`]s.
#[derive(Default)]
struct Translator {
    /// The kind of the objects, for the log.
    kind: String,
    /// The objects that exist, as far as the consumer knows.
    known: HashSet<ObjectKey>,
    /// The objects of the list that is being received.
    listing: HashSet<ObjectKey>,
    /// Failures since the last event.
    failures: u32,
}

impl Translator {
    fn handle_event<K: Resource<DynamicType = ()>>(
        &mut self,
        event: Event<Guarded<K>>,
        out: &mut VecDeque<ResourceChange<K>>,
    ) {
        // `Init` precedes the list request, so it does not show that the API server responds.
        if !matches!(event, Event::Init) && std::mem::take(&mut self.failures) > 0 {
            tracing::info!(kind = self.kind, "watch recovered");
        }
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => {
                self.listing.insert(ObjectKey::of(&object));
                out.push_back(applied(object));
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listing);
                let known = std::mem::replace(&mut self.known, listed);
                out.extend(
                    known
                        .into_iter()
                        .filter(|key| !self.known.contains(key))
                        .map(ResourceChange::Gone),
                );
                out.push_back(ResourceChange::Synced);
            }
            Event::Apply(object) => {
                self.known.insert(ObjectKey::of(&object));
                out.push_back(applied(object));
            }
            Event::Delete(object) => {
                let key = ObjectKey::of(&object);
                self.known.remove(&key);
                out.push_back(ResourceChange::Gone(key));
            }
        }
    }

    /// Records a failure and returns the delay before the next try. The delay grows with each
    /// failure, with jitter against retries of many processes at one time.
    fn handle_error(&mut self, error: &watcher::Error) -> Duration {
        if self.failures == 0 {
            tracing::warn!(kind = self.kind, %error, "watch failed; continuing with cached state");
        }
        let delay = FIRST_BACKOFF
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST_BACKOFF);
        self.failures = self.failures.saturating_add(1);
        let per_mille = u32::try_from(clock::wall_nanoseconds() / 1000 % 1000).unwrap_or_default();
        delay / 2 + delay / 2 * per_mille / 1000
    }
}

fn applied<K: Resource<DynamicType = ()>>(object: Guarded<K>) -> ResourceChange<K> {
    match object.0 {
        Ok(object) => ResourceChange::Applied(object),
        Err(undecodable) => {
            let metadata = undecodable.metadata;
            let key = ObjectKey::new(
                metadata.namespace.as_deref().unwrap_or_default(),
                metadata.name.as_deref().unwrap_or_default(),
            );
            ResourceChange::Undecodable(key, undecodable.error)
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

    fn undecodable(name: &str) -> Guarded<ConfigMap> {
        serde_json::from_str(&format!(
            r#"{{"metadata": {{"namespace": "n", "name": "{name}"}}, "data": 7}}"#
        ))
        .unwrap()
    }

    fn summaries(events: VecDeque<ResourceChange<ConfigMap>>) -> Vec<String> {
        events
            .into_iter()
            .map(|event| match event {
                ResourceChange::Applied(object) => format!("applied {}", ObjectKey::of(&object)),
                ResourceChange::Gone(key) => format!("gone {key}"),
                ResourceChange::Undecodable(key, _) => format!("undecodable {key}"),
                ResourceChange::Synced => "synced".to_owned(),
            })
            .collect()
    }

    #[test]
    fn new_list_reports_missing_objects_as_gone() {
        let mut translator = Translator::default();
        let mut first = VecDeque::new();
        for event in [
            Event::Init,
            Event::InitApply(object("a")),
            Event::InitApply(undecodable("b")),
            Event::InitDone,
        ] {
            translator.handle_event(event, &mut first);
        }
        translator.handle_event(Event::Apply(object("c")), &mut first);
        assert_eq!(
            summaries(first),
            ["applied n/a", "undecodable n/b", "synced", "applied n/c"]
        );
        let mut second = VecDeque::new();
        for event in [
            Event::Init,
            Event::InitApply(object("c")),
            Event::InitDone,
            Event::Delete(object("c")),
        ] {
            translator.handle_event(event, &mut second);
        }
        let mut summary = summaries(second);
        summary[1..3].sort();
        assert_eq!(summary, ["applied n/c", "gone n/a", "gone n/b", "synced", "gone n/c"]);
    }

    #[test]
    fn interrupted_list_removes_nothing() {
        let mut translator = Translator::default();
        let mut changes = VecDeque::new();
        for event in [
            Event::Init,
            Event::InitApply(object("a")),
            Event::InitApply(object("b")),
            Event::InitDone,
        ] {
            translator.handle_event(event, &mut changes);
        }
        changes.clear();
        for event in [
            Event::Init,
            Event::InitApply(object("a")),
            Event::Init,
            Event::InitApply(object("b")),
            Event::InitDone,
        ] {
            translator.handle_event(event, &mut changes);
        }
        assert_eq!(summaries(changes), ["applied n/a", "applied n/b", "gone n/a", "synced"]);
    }
}
