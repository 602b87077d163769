//! Status conditions of objects.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The content that a condition should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredCondition {
    /// The type of the condition, for example `Accepted`.
    pub type_: &'static str,
    /// Whether the status is True; otherwise it is False.
    pub holds: bool,
    /// The reason for programs: one word in CamelCase.
    pub reason: String,
    /// The message for people.
    pub message: String,
    /// The generation of the object that this condition describes.
    pub observed_generation: Option<i64>,
}

/// Returns `current` with the condition `desired` in it, or `None` if nothing would change. The
/// transition time changes only when the status does.
#[must_use]
pub fn updated(current: &[Condition], desired: &DesiredCondition, now: Timestamp) -> Option<Vec<Condition>> {
    let status = if desired.holds { "True" } else { "False" };
    let old = current.iter().find(|condition| condition.type_ == desired.type_);
    if old.is_some_and(|old| {
        old.status == status
            && old.reason == desired.reason
            && old.message == desired.message
            && old.observed_generation == desired.observed_generation
    }) {
        return None;
    }
    let since = old
        .filter(|old| old.status == status)
        .map_or(Time(now), |old| old.last_transition_time.clone());
    let mut conditions: Vec<Condition> = current
        .iter()
        .filter(|condition| condition.type_ != desired.type_)
        .cloned()
        .collect();
    conditions.push(Condition {
        last_transition_time: since,
        message: desired.message.clone(),
        observed_generation: desired.observed_generation,
        reason: desired.reason.clone(),
        status: status.to_owned(),
        type_: desired.type_.to_owned(),
    });
    Some(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(holds: bool, message: &str) -> DesiredCondition {
        let message = message.to_owned();
        DesiredCondition {
            type_: "Accepted",
            holds,
            reason: "Reason".to_owned(),
            message,
            observed_generation: Some(1),
        }
    }

    #[test]
    fn transition_time_changes_only_with_the_status() {
        let (first, later) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
        let made = updated(&[], &desired(true, "a"), first).unwrap();
        assert_eq!(updated(&made, &desired(true, "a"), later), None);
        let reworded = updated(&made, &desired(true, "b"), later).unwrap();
        assert_eq!((reworded.len(), &reworded[0].last_transition_time), (1, &Time(first)));
        let flipped = updated(&reworded, &desired(false, "b"), later).unwrap();
        assert_eq!((flipped.len(), &flipped[0].last_transition_time), (1, &Time(later)));
    }
}
