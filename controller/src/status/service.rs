//! Writing what was planned.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use lodestone_daemon::{
    client::answered,
    clock,
    condition::{self, Wanted},
    service::Service,
};
use serde_json::json;

use crate::{
    reconciler::Job,
    service_view::{POOL_ANNOTATION, PORT_IN_USE, PORTS_ERROR},
};

/// Writes a status, if the Service is still the one that the plan was made from (its resourceVersion). Gives back the Service as it is
/// now.
///
/// # Errors
/// When the API server refuses; a conflict means that the Service has changed meanwhile.
pub async fn write(client: &Client, job: &Job) -> Result<Service, kube::Error> {
    let api: Api<Service> = Api::namespaced(client.clone(), &job.key.namespace);
    // A merge patch: an empty list takes away what another field manager wrote, which a server-side apply would leave.
    let mut patch = json!({
        "metadata": {"resourceVersion": job.resource_version, "annotations": {POOL_ANNOTATION: job.write.pool}},
        "status": {"loadBalancer": {"ingress": job.write.ingress}},
    });
    if let Some(conditions) = conditions(job, clock::wall()) {
        patch["status"]["conditions"] = json!(conditions);
    }
    let patch = Patch::Merge(&patch);
    answered(api.patch_status(&job.key.name, &PatchParams::default(), &patch)).await
}

/// All conditions of the Service, if one of ours changes.
fn conditions(job: &Job, now: Timestamp) -> Option<Vec<Condition>> {
    let is_there = job.conditions.iter().any(|condition| condition.type_ == PORTS_ERROR);
    if job.write.ports_error.is_none() && !is_there {
        return None;
    }
    let wanted = Wanted {
        type_: PORTS_ERROR,
        holds: job.write.ports_error.is_some(),
        reason: if job.write.ports_error.is_some() {
            PORT_IN_USE
        } else {
            "PortsServed"
        }
        .to_owned(),
        message: job.write.ports_error.clone().unwrap_or_default(),
        observed_generation: None,
    };
    condition::with(&job.conditions, &wanted, now)
}
