//! Tells users who announces what: ServiceL2Status objects, and the event nodeAssigned on the Service. Written on change only.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
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

use super::tell::{Uids, reference};
use crate::{
    core::{Owned, Recorded},
    wire::message::NodeName,
};

/// How long a write that failed waits for its next try.
const RETRY: Duration = Duration::from_secs(1);

/// So long after a change it is looked whether all is as it was written: the owner before and after us clean up, too.
const VERIFY: Duration = Duration::from_secs(5);

/// The field manager of all that is written here.
const MANAGER: &str = "lodestone-speaker";

/// What this node announces, by Service.
type Announced = BTreeMap<ObjectKey, Entry>;

/// How a Service is announced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    /// The interfaces, where they are restricted.
    interfaces: BTreeSet<String>,
    /// The nodes that announce another address of it.
    beside: BTreeSet<NodeName>,
}

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
    pub uids: Uids,
}

impl Reporter {
    /// Who announced what before, by all objects there are.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn recorded(client: &Client, namespace: &str) -> Result<Recorded, kube::Error> {
        let all = Api::<ServiceL2Status>::namespaced(client.clone(), namespace)
            .list(&ListParams::default())
            .await?;
        let mut recorded = Recorded::new();
        for status in all.items.into_iter().filter_map(|object| object.status) {
            if let (Some(namespace), Some(name), Some(node)) =
                (status.service_namespace, status.service_name, status.node)
            {
                let nodes = recorded.entry(ObjectKey::new(&namespace, &name)).or_default();
                nodes.insert(NodeName::from(node));
            }
        }
        Ok(recorded)
    }

    /// Writes for ever, whenever what is owned has changed.
    pub async fn run(self, mut owned: watch::Receiver<Option<Vec<Owned>>>) {
        let mut there: Option<Announced> = None;
        let mut told = BTreeSet::new();
        let mut again: Option<Duration> = None;
        loop {
            let changed = tokio::select! {
                changed = owned.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => return,
                },
                () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => false,
            };
            let Some(wanted) = owned.borrow_and_update().as_deref().map(announced) else {
                continue;
            };
            if there.is_none() || !changed {
                there = self.own_objects(&wanted).await;
            }
            let complete = match &mut there {
                Some(there) => self.write(there, &wanted).await,
                None => false,
            };
            for service in wanted.keys().filter(|service| !told.contains(*service)) {
                self.tell(service);
            }
            told = wanted.into_keys().collect();
            again = if complete {
                changed.then_some(VERIFY)
            } else {
                Some(RETRY)
            };
        }
    }

    /// What the objects of this node say, those of an earlier life of this speaker included. Objects that are none of ours by their name
    /// are deleted. `None` when the API server does not answer.
    async fn own_objects(&self, wanted: &Announced) -> Option<Announced> {
        let mine = ListParams::default().labels(&format!("{NODE_LABEL}={}", self.node));
        let objects = match self.api().list(&mine).await {
            Ok(objects) => objects,
            Err(error) => {
                tracing::warn!(%error, "ServiceL2Status can't be read; trying again");
                return None;
            }
        };
        let mut there = Announced::new();
        for object in objects {
            let status = object.status.clone().unwrap_or_default();
            let service = ObjectKey::new(
                &status.service_namespace.unwrap_or_default(),
                &status.service_name.unwrap_or_default(),
            );
            if object.name_any() == self.object_name(&service) && wanted.contains_key(&service) {
                let interfaces = status.interfaces.into_iter().filter_map(|interface| interface.name);
                there.insert(
                    service,
                    Entry {
                        interfaces: interfaces.collect(),
                        ..Entry::default()
                    },
                );
            } else {
                self.delete(&object).await;
            }
        }
        Some(there)
    }

    /// Writes what is missing and deletes what is too much, object by object: one that fails holds up no other. Gives back whether all
    /// is as it should be.
    async fn write(&self, there: &mut Announced, wanted: &Announced) -> bool {
        let mut complete = true;
        let gone: Vec<ObjectKey> = there
            .keys()
            .filter(|service| !wanted.contains_key(*service))
            .cloned()
            .collect();
        for service in gone {
            let deleted = self
                .api()
                .delete(&self.object_name(&service), &DeleteParams::default())
                .await;
            if self.went_well(deleted.map(|_| ()), &service) {
                there.remove(&service);
            } else {
                complete = false;
            }
        }
        for (service, entry) in wanted {
            if there.get(service) == Some(entry) {
                continue;
            }
            let written = self.write_one(&self.api(), service, entry).await;
            if self.went_well(written, service) {
                there.insert(service.clone(), entry.clone());
            } else {
                complete = false;
            }
        }
        complete
    }

    fn went_well(&self, outcome: Result<(), kube::Error>, service: &ObjectKey) -> bool {
        match outcome {
            Ok(()) => true,
            Err(kube::Error::Api(status)) if status.is_not_found() => true,
            Err(error) => {
                tracing::warn!(%service, %error, "ServiceL2Status could not be written; trying again");
                false
            }
        }
    }

    /// Deletes an object, if it is still that one. What can't be deleted now is looked at again.
    async fn delete(&self, object: &ServiceL2Status) {
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

    fn api(&self) -> Api<ServiceL2Status> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn write_one(
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
        // Whoever announced it before may be dead.
        let selector = format!(
            "{SERVICE_NAME_LABEL}={},{SERVICE_NAMESPACE_LABEL}={}",
            service.name, service.namespace
        );
        for other in api.list(&ListParams::default().labels(&selector)).await? {
            let node = other.status.as_ref().and_then(|status| status.node.as_deref());
            if other.name_any() != name && node.is_none_or(|node| !entry.beside.contains(node)) {
                self.delete(&other).await;
            }
        }
        Ok(())
    }

    fn tell(&self, service: &ObjectKey) {
        let reference = reference(service, &self.uids);
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
            let entry = announced.entry(service.clone()).or_default();
            entry.interfaces.extend(owned.interfaces.iter().flatten().cloned());
            entry.beside.extend(owned.beside.iter().cloned());
        }
    }
    announced
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
