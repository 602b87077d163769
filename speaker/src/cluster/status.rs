//! Tells users who announces what: ServiceL2Status objects, and the event nodeAssigned on the Service. Written on change only.

mod object;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
};
use lodestone_crds::{NODE_LABEL, ObjectKey, ServiceL2Status};
use lodestone_runtime::k8s::events::{Events, Note};
use tokio::sync::watch;

pub use object::owner;

use super::tell::{Uids, reference};
use crate::{
    core::{Owned, Recorded},
    wire::message::NodeName,
};

/// How long a write that failed waits for its next try.
const RETRY: Duration = Duration::from_secs(1);

/// So long after a change it is looked whether all is as it was written: the owner before and after us clean up, too. It is looked
/// again after four times as long each time, for ever: what somebody else deletes comes back.
const VERIFY: Duration = Duration::from_secs(5);

/// It is never looked more seldom than that.
const SELDOM: Duration = Duration::from_secs(300);

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
        let mut verify = VERIFY;
        let mut failing = false;
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
            let round = self.round(&mut there, &wanted, !changed).await;
            for service in wanted.keys().filter(|service| !told.contains(*service)) {
                self.tell(service);
            }
            told = wanted.into_keys().collect();
            // A line when it begins to fail and when it ends, not for each object and try.
            match &round {
                Err(error) if !failing => tracing::warn!(%error, "ServiceL2Status can't be written; trying again"),
                Ok(_) if failing => tracing::info!("ServiceL2Status can be written again"),
                _ => {}
            }
            failing = round.is_err();
            again = Some(match round {
                Err(_) => RETRY,
                Ok(wrote) => {
                    verify = if changed || wrote {
                        VERIFY
                    } else {
                        SELDOM.min(verify * 4)
                    };
                    verify
                }
            });
        }
    }

    /// Makes the objects say what is announced; looks first what they say where that is not known, or on demand. Gives back whether
    /// anything had to be written.
    async fn round(&self, there: &mut Option<Announced>, wanted: &Announced, look: bool) -> Result<bool, kube::Error> {
        let known = match there.take() {
            Some(known) if !look => known,
            _ => self.own_objects(wanted).await?,
        };
        self.write(there.insert(known), wanted).await
    }

    /// What the objects of this node say, those of an earlier life of this speaker included. Objects that are none of ours by their name
    /// are deleted.
    async fn own_objects(&self, wanted: &Announced) -> Result<Announced, kube::Error> {
        let mine = ListParams::default().labels(&format!("{NODE_LABEL}={}", self.node));
        let mut there = Announced::new();
        for object in self.api().list(&mine).await? {
            let status = object.status.clone().unwrap_or_default();
            let service = ObjectKey::new(
                &status.service_namespace.unwrap_or_default(),
                &status.service_name.unwrap_or_default(),
            );
            let wanted = wanted.get(&service);
            if let Some(wanted) = wanted.filter(|_| object.name_any() == self.object_name(&service)) {
                let interfaces = status.interfaces.into_iter().filter_map(|interface| interface.name);
                let entry = Entry {
                    interfaces: interfaces.collect(),
                    // No object says that.
                    beside: wanted.beside.clone(),
                };
                there.insert(service, entry);
            } else {
                self.delete(&object).await;
            }
        }
        Ok(there)
    }

    /// Writes what is missing and deletes what is too much, object by object: one that fails holds up no other. Gives back whether
    /// anything had to be written, or the first error.
    async fn write(&self, there: &mut Announced, wanted: &Announced) -> Result<bool, kube::Error> {
        let gone: Vec<ObjectKey> = there
            .keys()
            .filter(|service| !wanted.contains_key(*service))
            .cloned()
            .collect();
        let mut wrote = false;
        let mut failed = None;
        for service in gone {
            let name = self.object_name(&service);
            match self.api().delete(&name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
                Ok(_) => wrote = true,
            }
            there.remove(&service);
        }
        for (service, entry) in wanted {
            if there.get(service) == Some(entry) {
                continue;
            }
            // What somebody deletes between our two writes is written anew: that it is not found is an error here.
            match self.write_one(&self.api(), service, entry).await {
                Ok(()) => {
                    wrote = true;
                    there.insert(service.clone(), entry.clone());
                }
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        failed.map_or(Ok(wrote), Err)
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
