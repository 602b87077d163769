//! One object, ServiceL2Status: written, deleted, and how it is called.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
};
use lodestone_crds::{
    InterfaceInfo, NODE_LABEL, ObjectKey, SERVICE_NAME_LABEL, SERVICE_NAMESPACE_LABEL, ServiceL2Status,
    ServiceL2StatusFields, ServiceL2StatusStatus,
};
use sha2::{Digest, Sha256};

use super::{Entry, Reporter};

/// The field manager of all that is written here.
const MANAGER: &str = "lodestone-speaker";

impl Reporter {
    pub(super) fn api(&self) -> Api<ServiceL2Status> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) async fn write_one(
        &self,
        api: &Api<ServiceL2Status>,
        service: &ObjectKey,
        entry: &Entry,
    ) -> Result<(), kube::Error> {
        let labels = [
            (NODE_LABEL, self.node.as_ref()),
            (SERVICE_NAME_LABEL, &service.name),
            (SERVICE_NAMESPACE_LABEL, &service.namespace),
        ];
        let name = self.object_name(service);
        let mut object = ServiceL2Status::new(&name, ServiceL2StatusFields::default());
        object.metadata = ObjectMeta {
            labels: Some(
                labels
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
            ),
            owner_references: self.pod.as_ref().map(|pod| vec![owner(pod)]),
            ..object.metadata
        };
        let parameters = PatchParams::apply(MANAGER).force();
        api.patch(&name, &parameters, &Patch::Apply(&object)).await?;
        object.metadata = ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        };
        object.status = Some(ServiceL2StatusStatus {
            node: Some(self.node.to_string()),
            service_name: Some(service.name.clone()),
            service_namespace: Some(service.namespace.clone()),
            interfaces: entry
                .interfaces
                .iter()
                .map(|name| InterfaceInfo {
                    name: Some(name.clone()),
                })
                .collect(),
        });
        api.patch_status(&name, &parameters, &Patch::Apply(&object)).await?;
        // Whoever announced it before may be dead. Whose an object is says its label: its status is written after it.
        let selector = format!(
            "{SERVICE_NAME_LABEL}={},{SERVICE_NAMESPACE_LABEL}={}",
            service.name, service.namespace
        );
        for other in api.list(&ListParams::default().labels(&selector)).await? {
            let node = other.labels().get(NODE_LABEL);
            if other.name_any() != name && node.is_none_or(|node| !entry.beside.contains(node.as_str())) {
                self.delete(&other).await;
            }
        }
        Ok(())
    }

    /// Deletes an object, if it is still that one. What can't be deleted now is looked at again.
    pub(super) async fn delete(&self, object: &ServiceL2Status) {
        let preconditions = Preconditions {
            uid: object.uid(),
            resource_version: None,
        };
        let parameters = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        if let Err(error) = self.api().delete(&object.name_any(), &parameters).await {
            tracing::debug!(name = object.name_any(), %error, "a ServiceL2Status was not deleted");
        }
    }

    /// One object for each Service and node: always the same name, so that nothing is ever written twice.
    pub(super) fn object_name(&self, service: &ObjectKey) -> String {
        let digest = Sha256::digest(format!("{service}#{}", self.node));
        let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("l2-{hex}")
    }
}

/// The pod of this name and uid, as the owner of an object.
#[must_use]
pub fn owner((name, uid): &(String, String)) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: name.clone(),
        uid: uid.clone(),
        ..OwnerReference::default()
    }
}
