//! The pod of this speaker, as the owner of the objects that the speaker writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// A pod that owns objects: Kubernetes deletes them with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerPod {
    /// The name of the pod.
    pub name: String,
    /// The UID of the pod.
    pub uid: String,
}

impl OwnerPod {
    /// The reference to the pod for the metadata of an object.
    #[must_use]
    pub(crate) fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            ..OwnerReference::default()
        }
    }
}
