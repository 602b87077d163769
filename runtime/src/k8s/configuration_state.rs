//! The `ConfigurationState` object of a component.
//!
//! Each component has one object. In it the component reports which configuration it could not use,
//! and problems of the node that it runs on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use lodestone_crds::{ConfigurationResult, ConfigurationState, ConfigurationStateStatus, config::Refusal};
use serde_json::{Value, json};

use super::{
    client::with_time_limit,
    condition::{self, DesiredCondition},
};

/// Identifies the object of one component.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// The name of the object: `controller`, or `speaker-` and the name of the node.
    pub name: String,
    /// The labels of the object; their names are MetalLB's.
    pub labels: BTreeMap<String, String>,
    /// The owner of the object: the garbage collector deletes the object with it.
    pub owner: Option<OwnerReference>,
}

/// Returns `current` with the conditions `desired` in it, or `None` if nothing would change.
#[must_use]
pub fn updated_status(
    current: Option<&ConfigurationStateStatus>,
    desired: &[DesiredCondition],
    now: Timestamp,
) -> Option<ConfigurationStateStatus> {
    let mut conditions = current.map(|current| current.conditions.clone()).unwrap_or_default();
    for desired in desired {
        conditions = condition::updated(&conditions, desired, now).unwrap_or(conditions);
    }
    let failing = desired.iter().filter(|desired| !desired.holds);
    let summary = failing
        .map(|desired| desired.message.as_str())
        .collect::<Vec<_>>()
        .join("\n");
    let status = ConfigurationStateStatus {
        result: Some(if summary.is_empty() {
            ConfigurationResult::Valid
        } else {
            ConfigurationResult::Invalid
        }),
        error_summary: (!summary.is_empty()).then_some(summary),
        conditions,
    };
    (current != Some(&status)).then_some(status)
}

/// The condition that reports whether all of the configuration is in use. Reasons are MetalLB's;
/// `type_` is specific to the component.
#[must_use]
pub fn configuration_condition(type_: &'static str, refused: &[Refusal]) -> DesiredCondition {
    let reason = if refused.is_empty() {
        "Reconciled"
    } else {
        "ConfigurationError"
    };
    DesiredCondition {
        type_,
        holds: refused.is_empty(),
        reason: reason.to_owned(),
        message: refused.iter().map(Refusal::to_string).collect::<Vec<_>>().join("\n"),
        observed_generation: None,
    }
}

/// The JSON of `status` for a merge patch. An absent summary becomes an explicit null, because a
/// merge patch keeps fields that it does not mention.
#[must_use]
pub fn status_patch(status: &ConfigurationStateStatus) -> Value {
    // Plain data always serializes to JSON.
    let mut status = serde_json::to_value(status).unwrap_or_default();
    if status["errorSummary"].is_null() {
        status["errorSummary"] = Value::Null;
    }
    status
}

/// Writes `status` to the object of `component`. If the object does not exist, it is created first.
///
/// # Errors
/// When the API server rejects a request or does not respond.
pub async fn write_status(
    client: &Client,
    namespace: &str,
    component: &Component,
    status: &Value,
) -> Result<(), kube::Error> {
    let api: Api<ConfigurationState> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({"status": status}));
    let parameters = PatchParams::default();
    let write = || with_time_limit(api.patch_status(&component.name, &parameters, &patch));
    match write().await {
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            create(&api, component).await?;
            write().await.map(|_| ())
        }
        result => result.map(|_| ()),
    }
}

async fn create(api: &Api<ConfigurationState>, component: &Component) -> Result<(), kube::Error> {
    let mut state = ConfigurationState::default();
    state.metadata.name = Some(component.name.clone());
    state.metadata.labels = Some(component.labels.clone());
    state.metadata.owner_references = component.owner.clone().map(|owner| vec![owner]);
    match with_time_limit(api.create(&PostParams::default(), &state)).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        result => result.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(type_: &'static str, message: &str) -> DesiredCondition {
        DesiredCondition {
            type_,
            holds: message.is_empty(),
            reason: "Reason".to_owned(),
            message: message.to_owned(),
            observed_generation: None,
        }
    }

    #[test]
    fn state_is_valid_while_all_conditions_hold_and_else_lists_failures() {
        let now = Timestamp::from_second(1).unwrap();
        let first = updated_status(None, &[desired("a", ""), desired("b", "")], now).unwrap();
        assert_eq!(
            (first.result, &first.error_summary),
            (Some(ConfigurationResult::Valid), &None)
        );
        assert_eq!(
            updated_status(Some(&first), &[desired("a", ""), desired("b", "")], now),
            None
        );
        let second = updated_status(Some(&first), &[desired("a", "x"), desired("b", "y")], now).unwrap();
        assert_eq!(second.result, Some(ConfigurationResult::Invalid));
        assert_eq!(second.error_summary.as_deref(), Some("x\ny"));
        assert_eq!(status_patch(&second)["errorSummary"], "x\ny");
        let third = updated_status(Some(&second), &[desired("a", ""), desired("b", "")], now).unwrap();
        assert!(
            status_patch(&third).as_object().unwrap().contains_key("errorSummary"),
            "an explicit null removes the old summary"
        );
    }
}
