//! ConfigurationState: what one component says of the configuration, and of the place that it runs in, in one object of its own.

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

/// The object of one component.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// The name of the object: `controller`, or `speaker-` and the name of the node.
    pub name: String,
    /// Its labels, which are MetalLB's.
    pub labels: BTreeMap<String, String>,
    /// What it goes with.
    pub owner: Option<OwnerReference>,
}

/// What a ConfigurationState is to say where these conditions are as they should be; `None` when it says so already.
#[must_use]
pub fn updated_status(
    current: Option<&ConfigurationStateStatus>,
    wanted: &[DesiredCondition],
    now: Timestamp,
) -> Option<ConfigurationStateStatus> {
    let mut conditions = current.map(|current| current.conditions.clone()).unwrap_or_default();
    for wanted in wanted {
        conditions = condition::updated(&conditions, wanted, now).unwrap_or(conditions);
    }
    let failing = wanted.iter().filter(|wanted| !wanted.holds);
    let summary = failing
        .map(|wanted| wanted.message.as_str())
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

/// Whether all of the configuration is in use, as MetalLB's components say it; `type_` is a component's own.
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

/// A status as it is written: in a merge patch what is not there any more has to be said.
#[must_use]
pub fn status_patch(status: &ConfigurationStateStatus) -> Value {
    // Plain data can always be written as JSON.
    let mut status = serde_json::to_value(status).unwrap_or_default();
    if status["errorSummary"].is_null() {
        status["errorSummary"] = Value::Null;
    }
    status
}

/// Writes a status; the object is made where there is none, and belongs to the owner from then on.
///
/// # Errors
/// When the API server refuses.
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
        answer => answer.map(|_| ()),
    }
}

async fn create(api: &Api<ConfigurationState>, component: &Component) -> Result<(), kube::Error> {
    let mut state = ConfigurationState::default();
    state.metadata.name = Some(component.name.clone());
    state.metadata.labels = Some(component.labels.clone());
    state.metadata.owner_references = component.owner.clone().map(|owner| vec![owner]);
    match with_time_limit(api.create(&PostParams::default(), &state)).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        answer => answer.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(type_: &'static str, message: &str) -> DesiredCondition {
        DesiredCondition {
            type_,
            holds: message.is_empty(),
            reason: "Reason".to_owned(),
            message: message.to_owned(),
            observed_generation: None,
        }
    }

    #[test]
    fn it_is_valid_while_all_conditions_hold_and_says_what_does_not() {
        let now = Timestamp::from_second(1).unwrap();
        let first = updated_status(None, &[wanted("a", ""), wanted("b", "")], now).unwrap();
        assert_eq!(
            (first.result, &first.error_summary),
            (Some(ConfigurationResult::Valid), &None)
        );
        assert_eq!(
            updated_status(Some(&first), &[wanted("a", ""), wanted("b", "")], now),
            None
        );
        let second = updated_status(Some(&first), &[wanted("a", "x"), wanted("b", "y")], now).unwrap();
        assert_eq!(second.result, Some(ConfigurationResult::Invalid));
        assert_eq!(second.error_summary.as_deref(), Some("x\ny"));
        assert_eq!(status_patch(&second)["errorSummary"], "x\ny");
        let third = updated_status(Some(&second), &[wanted("a", ""), wanted("b", "")], now).unwrap();
        assert!(
            status_patch(&third).as_object().unwrap().contains_key("errorSummary"),
            "null takes the old one away"
        );
    }
}
