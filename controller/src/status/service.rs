//! Reads Services, and writes their statuses.

use jiff::Timestamp;
use k8s_openapi::{api::core::v1, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use lodestone_controller_core::{
    Job, ServiceView,
    service_view::{PORT_IN_USE, PORTS_ERROR},
};
use lodestone_crds::{DEPRECATED_POOL_ANNOTATION, POOL_ANNOTATION};
use lodestone_runtime::{
    clock,
    k8s::{
        client::with_time_limit,
        condition::{self, DesiredCondition},
        service::SlimService,
    },
};
use serde_json::json;

/// The view of a Service as the API server returned it.
pub(crate) fn view(service: SlimService, class: &str) -> ServiceView {
    let SlimService { metadata, spec, status } = service;
    ServiceView::new(&v1::Service { metadata, spec, status }, class)
}

/// Writes a status, unless the Service has changed since the plan was made (its resourceVersion).
/// Returns the Service after the write.
///
/// # Errors
/// When the API server refuses. A conflict means that the Service has changed.
pub(crate) async fn write(client: &Client, job: &Job) -> Result<SlimService, kube::Error> {
    let api: Api<SlimService> = Api::namespaced(client.clone(), job.key.namespace());
    // This is a merge patch because an empty list then removes the entries of another field
    // manager. A server-side apply would leave them.
    let annotations = json!({POOL_ANNOTATION: job.status.pool, DEPRECATED_POOL_ANNOTATION: null});
    let mut patch = json!({
        "metadata": {"resourceVersion": job.resource_version, "annotations": annotations},
        "status": {"loadBalancer": {"ingress": job.status.ingress}},
    });
    if let Some(conditions) = conditions(job, clock::wall()) {
        patch["status"]["conditions"] = json!(conditions);
    }
    let patch = Patch::Merge(&patch);
    with_time_limit(api.patch_status(job.key.name(), &PatchParams::default(), &patch)).await
}

/// All conditions of the Service, if the one that this controller sets changes.
fn conditions(job: &Job, now: Timestamp) -> Option<Vec<Condition>> {
    let exists = job.conditions.iter().any(|condition| condition.type_ == PORTS_ERROR);
    let error = job.status.ports_error.as_ref();
    if error.is_none() && !exists {
        return None;
    }
    let reason = if error.is_some() { PORT_IN_USE } else { "PortsServed" };
    let wanted = DesiredCondition {
        type_: PORTS_ERROR,
        holds: error.is_some(),
        reason: reason.to_owned(),
        message: error.cloned().unwrap_or_default(),
        observed_generation: None,
    };
    condition::updated(&job.conditions, &wanted, now)
}
