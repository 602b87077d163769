//! Writes the statuses of configuration objects.

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
};
use lodestone_crds::{COMPONENT_TYPE_LABEL, IPAddressPool, L2Advertisement, config::ObjectKind};
use lodestone_runtime::k8s::{
    client::with_time_limit,
    configuration_state::{self, Component},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::desired::{StatusTarget, StatusWrite};

/// Writes a status. A missing ConfigurationState is created with `owner` as its owner, so that it
/// is deleted together with Lodestone.
///
/// # Errors
/// When the API server refuses.
pub(crate) async fn apply(
    client: &Client,
    namespace: &str,
    owner: Option<&OwnerReference>,
    write: &StatusWrite,
) -> Result<(), kube::Error> {
    let answer = match write.target {
        StatusTarget::Object(ObjectKind::IPAddressPool) => patch::<IPAddressPool>(client, namespace, write).await,
        StatusTarget::Object(ObjectKind::L2Advertisement) => patch::<L2Advertisement>(client, namespace, write).await,
        StatusTarget::State => {
            let component = Component {
                name: write.name.clone(),
                labels: [(COMPONENT_TYPE_LABEL.to_owned(), "controller".to_owned())].into(),
                owner: owner.cloned(),
            };
            configuration_state::write_status(client, namespace, &component, &write.status).await
        }
    };
    match answer {
        // The object was deleted, so it needs no status.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        answer => answer,
    }
}

async fn patch<K>(client: &Client, namespace: &str, write: &StatusWrite) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({"status": write.status}));
    with_time_limit(api.patch_status(&write.name, &PatchParams::default(), &patch))
        .await
        .map(|_| ())
}
