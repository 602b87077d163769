//! Tells users who announces what: ServiceL2Status objects, and the event nodeAssigned on the Service. Written on change only.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use lodestone_crds::{
    InterfaceInfo, NODE_LABEL, SERVICE_NAME_LABEL, SERVICE_NAMESPACE_LABEL, ServiceL2Status, ServiceL2StatusFields,
    ServiceL2StatusStatus,
};
use lodestone_daemon::{
    ObjectKey,
    events::{Events, Note},
};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{core::Owned, wire::message::NodeName};

/// How long a write that failed waits for its next try.
const RETRY: Duration = Duration::from_secs(1);

/// The field manager of all that is written here.
const MANAGER: &str = "lodestone-speaker";

/// What this node announces, by Service: the interfaces, where they are restricted.
type Announced = BTreeMap<ObjectKey, BTreeSet<String>>;

/// Writes what users see.
pub struct Reporter {
    /// The API server.
    pub client: Client,
    /// The namespace of the objects.
    pub namespace: String,
    /// The name of this node.
    pub node: NodeName,
    /// The pod that the objects belong to: name and uid.
    pub pod: Option<(String, String)>,
    /// Where events go.
    pub events: Events,
    /// The uids of Services, for events.
    pub uids: watch::Receiver<BTreeMap<ObjectKey, String>>,
}

impl Reporter {
    /// Who announced what before, by all objects there are.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn recorded(client: &Client, namespace: &str) -> Result<BTreeMap<ObjectKey, NodeName>, kube::Error> {
        let all = Api::<ServiceL2Status>::namespaced(client.clone(), namespace)
            .list(&ListParams::default())
            .await?;
        let recorded = all
            .items
            .into_iter()
            .filter_map(|object| object.status)
            .filter_map(|status| {
                let service = ObjectKey::new(&status.service_namespace?, &status.service_name?);
                Some((service, NodeName::from(status.node?)))
            });
        Ok(recorded.collect())
    }

    /// Writes for ever, whenever what is owned has changed.
    pub async fn run(self, mut owned: watch::Receiver<Option<Vec<Owned>>>) {
        let mut written: Option<Announced> = None;
        while owned.changed().await.is_ok() {
            loop {
                let Some(wanted) = owned.borrow_and_update().as_deref().map(announced) else {
                    break;
                };
                match self.write(written.as_ref(), &wanted).await {
                    Ok(()) => {
                        self.tell(written.as_ref(), &wanted);
                        written = Some(wanted);
                        break;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "ServiceL2Status could not be written; trying again");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        }
    }

    async fn write(&self, written: Option<&Announced>, wanted: &Announced) -> Result<(), kube::Error> {
        let api = Api::<ServiceL2Status>::namespaced(self.client.clone(), &self.namespace);
        let gone: Vec<ObjectKey> = match written {
            Some(written) => written
                .keys()
                .filter(|service| !wanted.contains_key(*service))
                .cloned()
                .collect(),
            // An earlier life of this speaker may have left some.
            None => {
                let mine = ListParams::default().labels(&format!("{NODE_LABEL}={}", self.node));
                let objects = api
                    .list(&mine)
                    .await?
                    .items
                    .into_iter()
                    .filter_map(|object| object.status);
                let services = objects
                    .filter_map(|status| Some(ObjectKey::new(&status.service_namespace?, &status.service_name?)));
                services.filter(|service| !wanted.contains_key(service)).collect()
            }
        };
        for service in gone {
            delete(&api, &self.object_name(&service)).await?;
        }
        for (service, interfaces) in wanted {
            if written.and_then(|written| written.get(service)) != Some(interfaces) {
                self.write_one(&api, service, interfaces).await?;
            }
        }
        Ok(())
    }

    async fn write_one(
        &self,
        api: &Api<ServiceL2Status>,
        service: &ObjectKey,
        interfaces: &BTreeSet<String>,
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
            interfaces: interfaces
                .iter()
                .map(|name| InterfaceInfo {
                    name: Some(name.clone()),
                })
                .collect(),
        });
        api.patch_status(&name, &parameters, &Patch::Apply(&object)).await?;
        // Whoever announced it before may be dead.
        let selector = format!(
            "{SERVICE_NAME_LABEL}={},{SERVICE_NAMESPACE_LABEL}={}",
            service.name, service.namespace
        );
        for other in api.list(&ListParams::default().labels(&selector)).await? {
            if other.name_any() != name {
                delete(api, &other.name_any()).await?;
            }
        }
        Ok(())
    }

    fn tell(&self, written: Option<&Announced>, wanted: &Announced) {
        let uids = self.uids.borrow();
        for service in wanted
            .keys()
            .filter(|service| !written.is_some_and(|written| written.contains_key(*service)))
        {
            let reference = ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Service".to_owned()),
                namespace: Some(service.namespace.clone()),
                name: Some(service.name.clone()),
                uid: uids.get(service).cloned(),
                ..ObjectReference::default()
            };
            let text = format!("announcing from node {:?} with protocol \"layer2\"", &*self.node);
            self.events.send(
                reference,
                "Announce",
                &Note {
                    warning: false,
                    reason: "nodeAssigned",
                    text,
                },
            );
        }
    }

    /// One object for each Service and node: always the same name, so that nothing is ever written twice.
    fn object_name(&self, service: &ObjectKey) -> String {
        let digest = Sha256::digest(format!("{service}#{}", self.node));
        let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("l2-{hex}")
    }
}

fn announced(owned: &[Owned]) -> Announced {
    let mut announced = Announced::new();
    for owned in owned {
        for service in &owned.services {
            announced
                .entry(service.clone())
                .or_default()
                .extend(owned.interfaces.iter().flatten().cloned());
        }
    }
    announced
}

fn owner((name, uid): &(String, String)) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: name.clone(),
        uid: uid.clone(),
        ..OwnerReference::default()
    }
}

async fn delete(api: &Api<ServiceL2Status>, name: &str) -> Result<(), kube::Error> {
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        answer => answer.map(|_| ()),
    }
}
