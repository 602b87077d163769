//! Services, reduced to the fields in use.
//!
//! `managedFields`, which records the writer of each field, is more than half of a Service's JSON.

use k8s_openapi::{
    api::core::v1::{ServiceSpec, ServiceStatus},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::{Deserialize, Serialize};

use super::slim_metadata::slim_metadata;

/// A Service without its `managedFields`.
#[derive(Resource, Clone, Debug, Default, Deserialize, Serialize)]
#[resource(inherit = k8s_openapi::api::core::v1::Service)]
pub struct SlimService {
    /// The metadata in use.
    #[serde(deserialize_with = "slim_metadata")]
    pub metadata: ObjectMeta,
    /// The complete specification.
    pub spec: Option<ServiceSpec>,
    /// The complete status.
    pub status: Option<ServiceStatus>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_managed_fields_are_dropped() {
        let text = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z",
                "labels": {"l": "m"}, "annotations": {"x": "y"}, "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        })
        .to_string();
        let slim: SlimService = serde_json::from_str(&text).unwrap();
        let mut whole: k8s_openapi::api::core::v1::Service = serde_json::from_str(&text).unwrap();
        whole.metadata.managed_fields = None;
        assert_eq!(
            (slim.metadata, slim.spec, slim.status),
            (whole.metadata, whole.spec, whole.status)
        );
    }
}
