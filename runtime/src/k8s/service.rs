//! Services without what nobody looks at: of their metadata the record of who wrote which field is the larger part of their text.

use k8s_openapi::{
    api::core::v1::{ServiceSpec, ServiceStatus},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::{Deserialize, Serialize};

use super::slim_metadata::slim_metadata;

/// A Service as the API server tells it, without its managed fields.
#[derive(Resource, Clone, Debug, Default, Deserialize, Serialize)]
#[resource(inherit = k8s_openapi::api::core::v1::Service)]
pub struct SlimService {
    /// Who it is.
    #[serde(deserialize_with = "slim_metadata")]
    pub metadata: ObjectMeta,
    /// What it asks for.
    pub spec: Option<ServiceSpec>,
    /// What it has.
    pub status: Option<ServiceStatus>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_the_same_without_its_managed_fields() {
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
