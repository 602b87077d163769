//! Writes and deletes one ServiceL2Status, and names it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
};
use lodestone_crds::{
    InterfaceInfo, NODE_LABEL, ObjectKey, SERVICE_NAME_LABEL, SERVICE_NAMESPACE_LABEL, ServiceL2Status,
    ServiceL2StatusFields, ServiceL2StatusStatus,
};
use lodestone_speaker_core::NodeName;
use sha2::{Digest, Sha256};

use super::{Reporter, announcement::ServiceAnnouncement};

/// The field manager of the objects.
const MANAGER: &str = "lodestone-speaker";

impl Reporter {
    pub(super) fn api(&self) -> Api<ServiceL2Status> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Writes the object of `service` and its status, and deletes the objects that other nodes have
    /// for the Service.
    pub(super) async fn write_one(
        &self,
        api: &Api<ServiceL2Status>,
        service: &ObjectKey,
        announcement: &ServiceAnnouncement,
    ) -> Result<(), kube::Error> {
        let name = self.object_name(service);
        let parameters = PatchParams::apply(MANAGER).force();
        let mut object = self.object(&name, service);
        api.patch(&name, &parameters, &Patch::Apply(&object)).await?;
        object.metadata = ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        };
        object.status = Some(self.status(service, announcement));
        api.patch_status(&name, &parameters, &Patch::Apply(&object)).await?;
        self.delete_of_other_nodes(api, service, announcement).await
    }

    /// The object of `service` without a status.
    fn object(&self, name: &str, service: &ObjectKey) -> ServiceL2Status {
        let labels = [
            (NODE_LABEL, self.node.as_str()),
            (SERVICE_NAME_LABEL, service.name()),
            (SERVICE_NAMESPACE_LABEL, service.namespace()),
        ];
        let mut object = ServiceL2Status::new(name, ServiceL2StatusFields::default());
        object.metadata = ObjectMeta {
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            owner_references: self.pod.as_ref().map(|pod| vec![pod.owner_reference()]),
            ..object.metadata
        };
        object
    }

    fn status(&self, service: &ObjectKey, announcement: &ServiceAnnouncement) -> ServiceL2StatusStatus {
        let interfaces = announcement.interfaces.iter().map(|name| InterfaceInfo {
            name: Some(name.clone()),
        });
        ServiceL2StatusStatus {
            node: Some(self.node.to_string()),
            service_name: Some(service.name().to_owned()),
            service_namespace: Some(service.namespace().to_owned()),
            interfaces: interfaces.collect(),
        }
    }

    /// Deletes the objects of nodes that no longer announce an address of `service`.
    ///
    /// The previous announcer may be dead, so this node cleans up after it. The label of an object
    /// identifies its node. Its status does not, because it is written later.
    async fn delete_of_other_nodes(
        &self,
        api: &Api<ServiceL2Status>,
        service: &ObjectKey,
        announcement: &ServiceAnnouncement,
    ) -> Result<(), kube::Error> {
        let own_name = self.object_name(service);
        let selector = format!(
            "{SERVICE_NAME_LABEL}={},{SERVICE_NAMESPACE_LABEL}={}",
            service.name(),
            service.namespace()
        );
        for other in api.list(&ListParams::default().labels(&selector)).await? {
            let node = other.labels().get(NODE_LABEL).map(|node| NodeName::from(node.as_str()));
            let announces = node.is_some_and(|node| announcement.co_owners.contains(&node));
            if other.name_any() != own_name && !announces {
                self.delete(&other).await;
            }
        }
        Ok(())
    }

    /// Deletes an object, unless another one has its name by now. A failure is only logged, because
    /// a later re-check finds the object again.
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
            tracing::debug!(name = object.name_any(), %error, "cannot delete a ServiceL2Status");
        }
    }

    /// The name of the object of `service` on this node. It is always the same, so that there is
    /// never a second object.
    pub(super) fn object_name(&self, service: &ObjectKey) -> String {
        let digest = Sha256::digest(format!("{service}#{}", self.node));
        let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("l2-{hex}")
    }
}
