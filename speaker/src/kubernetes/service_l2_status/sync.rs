//! Makes the ServiceL2Status objects of this node say what it announces.

use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};
use lodestone_crds::{NODE_LABEL, ObjectKey};

use super::{
    Reporter,
    announcement::{AnnouncedServices, ServiceAnnouncement},
};

impl Reporter {
    /// Writes what differs between `written`, which is what the objects say, and `wanted`. Reads
    /// the objects first if `written` is not known or `reread` is set.
    ///
    /// Returns whether anything had to be written.
    pub(super) async fn sync(
        &self,
        written: &mut Option<AnnouncedServices>,
        wanted: &AnnouncedServices,
        reread: bool,
    ) -> Result<bool, kube::Error> {
        let known = match written.take() {
            Some(known) if !reread => known,
            _ => self.read_own_objects(wanted).await?,
        };
        self.write_differences(written.insert(known), wanted).await
    }

    /// Reads the objects of this node, including those of an earlier start of this speaker. Deletes
    /// objects that are not wanted, and those that do not have the name that this speaker gives
    /// them.
    async fn read_own_objects(&self, wanted: &AnnouncedServices) -> Result<AnnouncedServices, kube::Error> {
        let own = ListParams::default().labels(&format!("{NODE_LABEL}={}", self.node));
        let mut written = AnnouncedServices::new();
        for object in self.api().list(&own).await? {
            let status = object.status.clone().unwrap_or_default();
            let service = ObjectKey::new(
                &status.service_namespace.unwrap_or_default(),
                &status.service_name.unwrap_or_default(),
            );
            let wanted = wanted.get(&service);
            if let Some(wanted) = wanted.filter(|_| object.name_any() == self.object_name(&service)) {
                let interfaces = status.interfaces.into_iter().filter_map(|interface| interface.name);
                let announcement = ServiceAnnouncement {
                    interfaces: interfaces.collect(),
                    // The object does not have this field.
                    co_owners: wanted.co_owners.clone(),
                };
                written.insert(service, announcement);
            } else {
                self.delete(&object).await;
            }
        }
        Ok(written)
    }

    /// Deletes objects that are not wanted, and writes those that differ. One object that fails
    /// does not delay the others.
    ///
    /// Returns whether anything had to be written, or the first error.
    async fn write_differences(
        &self,
        written: &mut AnnouncedServices,
        wanted: &AnnouncedServices,
    ) -> Result<bool, kube::Error> {
        let unwanted: Vec<ObjectKey> = written
            .keys()
            .filter(|service| !wanted.contains_key(*service))
            .cloned()
            .collect();
        let mut wrote = false;
        let mut first_error = None;
        for service in unwanted {
            let name = self.object_name(&service);
            match self.api().delete(&name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => {
                    first_error.get_or_insert(error);
                    continue;
                }
                Ok(_) => wrote = true,
            }
            written.remove(&service);
        }
        for (service, announcement) in wanted {
            if written.get(service) == Some(announcement) {
                continue;
            }
            // Somebody may delete the object between the two writes that create it. The second
            // write then returns "not found". That is an error here, so that the object is created
            // again.
            match self.write_one(&self.api(), service, announcement).await {
                Ok(()) => {
                    wrote = true;
                    written.insert(service.clone(), announcement.clone());
                }
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        first_error.map_or(Ok(wrote), Err)
    }
}
