//! Kubernetes events: what `kubectl describe` shows. They are sent in the background, so that no decision waits for them.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::{sync::mpsc, time::timeout};

use crate::task::{Task, spawn};

/// How many events may wait for the API server. More are dropped: an event is a courtesy, and the log has it, too.
const QUEUE: usize = 1024;

/// How long the API server may take for one.
const LIMIT: Duration = Duration::from_secs(10);

/// Longer notes are refused by the API server (events.k8s.io/v1).
const NOTE_LIMIT: usize = 1024;

/// Where events are handed in.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<(Event, ObjectReference)>);

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether somebody should look.
    pub warning: bool,
    /// One word in CamelCase, by which programs tell events apart.
    pub reason: &'static str,
    /// For humans.
    pub text: String,
}

impl Events {
    /// Waits until there is room for one more.
    pub async fn wait_for_room(&self) {
        // Dropped at once: only the caller hands in events, and it does so next.
        let _ = self.0.reserve().await;
    }

    /// How many more may be handed in now.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Starts sending events in the name of `component`.
    pub fn start(client: Client, component: &str, instance: Option<String>) -> (Self, Task) {
        let (sender, mut queue) = mpsc::channel::<(Event, ObjectReference)>(QUEUE);
        let reporter = Reporter {
            controller: component.to_owned(),
            instance,
        };
        let task = spawn(async move {
            while let Some((event, object)) = queue.recv().await {
                // A recorder of its own for each: one that is used again takes two events of one reason for the same, and shows the
                // text of the first. Ours are sent on change only, so there is nothing to be summed up.
                let recorder = Recorder::new(client.clone(), reporter.clone());
                match timeout(LIMIT, recorder.publish(&event, &object)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(reason = event.reason, %error, "an event could not be sent"),
                    Err(_) => tracing::warn!(reason = event.reason, "an event could not be sent: no answer"),
                }
            }
        });
        (Self(sender), task)
    }

    /// Hands in an event about `object`; `action` is what was being done.
    pub fn send(&self, object: ObjectReference, action: &str, note: &Note) {
        let mut text = note.text.clone();
        if text.len() > NOTE_LIMIT {
            let end = (0..=NOTE_LIMIT - 3)
                .rev()
                .find(|end| text.is_char_boundary(*end))
                .unwrap_or(0);
            text.truncate(end);
            text.push_str("...");
        }
        let event = Event {
            type_: if note.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: note.reason.to_owned(),
            note: Some(text),
            action: action.to_owned(),
            secondary: None,
        };
        if self.0.try_send((event, object)).is_err() {
            tracing::warn!(
                reason = note.reason,
                text = note.text,
                "too many events wait; this one is not sent"
            );
        }
    }
}
