//! Conditions of objects.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// A condition as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredCondition {
    /// Its type.
    pub type_: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// One word in CamelCase.
    pub reason: String,
    /// For humans.
    pub message: String,
    /// The generation of the object that was looked at.
    pub observed_generation: Option<i64>,
}

/// The list of conditions with `wanted` in it, or `None` when it already says all that: then there is nothing to write. The time
/// of the last transition moves only when the status flips.
#[must_use]
pub fn updated(current: &[Condition], wanted: &DesiredCondition, now: Timestamp) -> Option<Vec<Condition>> {
    let status = if wanted.holds { "True" } else { "False" };
    let old = current.iter().find(|condition| condition.type_ == wanted.type_);
    if old.is_some_and(|old| {
        old.status == status
            && old.reason == wanted.reason
            && old.message == wanted.message
            && old.observed_generation == wanted.observed_generation
    }) {
        return None;
    }
    let since = old
        .filter(|old| old.status == status)
        .map_or(Time(now), |old| old.last_transition_time.clone());
    let mut conditions: Vec<Condition> = current
        .iter()
        .filter(|condition| condition.type_ != wanted.type_)
        .cloned()
        .collect();
    conditions.push(Condition {
        last_transition_time: since,
        message: wanted.message.clone(),
        observed_generation: wanted.observed_generation,
        reason: wanted.reason.clone(),
        status: status.to_owned(),
        type_: wanted.type_.to_owned(),
    });
    Some(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(holds: bool, message: &str) -> DesiredCondition {
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
    fn nothing_is_written_when_nothing_changed_and_the_time_moves_only_on_a_flip() {
        let (first, later) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
        let made = updated(&[], &wanted(true, "a"), first).unwrap();
        assert_eq!(updated(&made, &wanted(true, "a"), later), None);
        let reworded = updated(&made, &wanted(true, "b"), later).unwrap();
        assert_eq!((reworded.len(), &reworded[0].last_transition_time), (1, &Time(first)));
        let flipped = updated(&reworded, &wanted(false, "b"), later).unwrap();
        assert_eq!((flipped.len(), &flipped[0].last_transition_time), (1, &Time(later)));
    }
}
