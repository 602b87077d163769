//! Kubernetes events, which `kubectl describe` shows. A background task sends them, so that no
//! decision waits for the API server.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::{sync::mpsc, time::timeout};

use crate::task::{Task, spawn};

/// How many events may wait for the API server. Further events are dropped: an event is a courtesy,
/// and the log has the same text.
const QUEUE_LEN: usize = 1024;

/// How long the API server may take for one event.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest note in bytes that the API server accepts (events.k8s.io/v1).
const NOTE_LIMIT: usize = 1024;

/// The queue of events to send. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<(Event, ObjectReference)>);

/// The content of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventContent {
    /// Whether the event has the type Warning; otherwise it is Normal.
    pub warning: bool,
    /// The reason for programs: one word in CamelCase.
    pub reason: &'static str,
    /// The text for people.
    pub text: String,
}

impl Events {
    /// Starts the task that sends events. They name `component` as the reporting controller.
    pub fn start(client: Client, component: &str, instance: Option<String>) -> (Self, Task) {
        let (sender, mut queue) = mpsc::channel::<(Event, ObjectReference)>(QUEUE_LEN);
        let reporter = Reporter {
            controller: component.to_owned(),
            instance,
        };
        let task = spawn(async move {
            while let Some((event, object)) = queue.recv().await {
                publish(&client, &reporter, &event, &object).await;
            }
        });
        (Self(sender), task)
    }

    /// Waits until the queue has room for an event. No other task may send meanwhile, or it takes
    /// the room.
    pub async fn wait_for_room(&self) {
        // The permit is dropped at once; the caller sends next.
        let _ = self.0.reserve().await;
    }

    /// Returns how many more events the queue can take now.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Queues an event about `object`. `action` names what the component was doing. If the queue is
    /// full, the event is dropped and logged.
    pub fn send(&self, object: ObjectReference, action: &str, content: &EventContent) {
        let event = Event {
            type_: if content.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: content.reason.to_owned(),
            note: Some(truncated(&content.text)),
            action: action.to_owned(),
            secondary: None,
        };
        if self.0.try_send((event, object)).is_err() {
            tracing::warn!(
                reason = content.reason,
                text = content.text,
                "event dropped: the queue is full"
            );
        }
    }
}

async fn publish(client: &Client, reporter: &Reporter, event: &Event, object: &ObjectReference) {
    // Each event gets a new recorder. A shared recorder merges events of one reason and shows only
    // the text of the first. Our events are sent on changes only, so there is nothing to merge.
    let recorder = Recorder::new(client.clone(), reporter.clone());
    match timeout(PUBLISH_TIMEOUT, recorder.publish(event, object)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(reason = event.reason, %error, "cannot send an event"),
        Err(_) => tracing::warn!(reason = event.reason, "cannot send an event: timed out"),
    }
}

/// Cuts `text` to [`NOTE_LIMIT`] bytes, at a character boundary and with an ellipsis.
fn truncated(text: &str) -> String {
    const ELLIPSIS: &str = "...";
    if text.len() <= NOTE_LIMIT {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(NOTE_LIMIT - ELLIPSIS.len());
    let mut short = text.get(..end).unwrap_or_default().to_owned();
    short.push_str(ELLIPSIS);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_notes_are_cut_at_a_character_boundary() {
        let fits = "x".repeat(NOTE_LIMIT);
        assert_eq!(truncated(&fits), fits);
        let cut = truncated(&"ä".repeat(NOTE_LIMIT));
        assert!(cut.len() <= NOTE_LIMIT && cut.ends_with("ä..."), "{cut}");
    }
}
