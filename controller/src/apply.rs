//! Writing what was planned.

use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{core::Job, service::POOL_ANNOTATION};

/// Writes a status, if the Service is still the one that the plan was made from (its resourceVersion). Gives back the Service as it is
/// now.
///
/// # Errors
/// When the API server refuses; a conflict means that the Service has changed meanwhile.
pub async fn write(client: &Client, job: &Job) -> Result<Service, kube::Error> {
    let api: Api<Service> = Api::namespaced(client.clone(), &job.key.namespace);
    // A merge patch: an empty list takes away what another field manager wrote, which a server-side apply would leave.
    let patch = json!({
        "metadata": {"resourceVersion": job.resource_version, "annotations": {POOL_ANNOTATION: job.write.pool}},
        "status": {"loadBalancer": {"ingress": job.write.ingress}},
    });
    api.patch_status(&job.key.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
}
