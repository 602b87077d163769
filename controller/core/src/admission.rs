//! Reviews an edit of the configuration before the API server stores it. Pure.
//!
//! An edit is denied when the object would not be valid, or when it would invalidate another
//! object. An edit that leaves addresses of Services without a pool is allowed, with warnings.

mod repetition;
mod warnings;

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use lodestone_crds::{
    Config, IPAddressPool, L2Advertisement, Labels, ObjectKey, Refusal, Resources, config::ObjectKind,
};

use crate::{plan::OnPoolChange, service_view::ServiceView};

/// What a user is about to do with one object. Without `new` the object is deleted.
#[derive(Clone, Debug)]
pub struct AdmissionEdit<K> {
    /// The object before the edit.
    pub old: Option<K>,
    /// The object after the edit.
    pub new: Option<K>,
}

impl<K> AdmissionEdit<K> {
    /// Whether the object exists before and after the edit, with the same `part`.
    fn keeps<T: PartialEq>(&self, part: impl Fn(&K) -> &T) -> bool {
        matches!((&self.old, &self.new), (Some(old), Some(new)) if part(old) == part(new))
    }
}

/// An edit of the configuration.
#[derive(Clone, Debug)]
pub enum Edit {
    /// An edit of a pool.
    Pool(AdmissionEdit<IPAddressPool>),
    /// An edit of an advertisement.
    L2Advertisement(AdmissionEdit<L2Advertisement>),
}

impl Edit {
    const fn kind(&self) -> ObjectKind {
        match self {
            Self::Pool(_) => ObjectKind::IPAddressPool,
            Self::L2Advertisement(_) => ObjectKind::L2Advertisement,
        }
    }

    const fn is_deletion(&self) -> bool {
        match self {
            Self::Pool(edit) => edit.new.is_none(),
            Self::L2Advertisement(edit) => edit.new.is_none(),
        }
    }

    /// Whether the edit leaves the specification as it is.
    fn keeps_spec(&self) -> bool {
        match self {
            Self::Pool(edit) => edit.keeps(|pool| &pool.spec),
            Self::L2Advertisement(edit) => edit.keeps(|advertisement| &advertisement.spec),
        }
    }

    /// Applies the edit to all objects. Returns the name of the edited object.
    fn apply(&self, resources: &mut Resources) -> String {
        let name = match self {
            Self::Pool(edit) => replace(&mut resources.pools, edit),
            Self::L2Advertisement(edit) => replace(&mut resources.l2_advertisements, edit),
        };
        let is_edited = |refusal: &Refusal| refusal.kind == self.kind() && refusal.name == name;
        resources.undecodable.retain(|refusal| !is_edited(refusal));
        name
    }
}

/// Everything that a verdict is made from.
#[derive(Debug)]
pub struct ClusterView<'a> {
    /// All objects before the edit.
    pub resources: &'a Resources,
    /// The configuration in force.
    pub config: &'a Config,
    /// All Services.
    pub services: &'a HashMap<ObjectKey, ServiceView>,
    /// The labels of all namespaces.
    pub namespaces: &'a HashMap<String, Labels>,
    /// What happens to addresses whose pool no longer provides them.
    pub on_pool_change: OnPoolChange,
}

/// The answer to an edit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionVerdict {
    /// Why the edit is denied, if it is.
    pub denied: Option<String>,
    /// Warnings for the user, one a line.
    pub warnings: Vec<String>,
}

impl AdmissionVerdict {
    /// The edit is denied, for this reason.
    #[must_use]
    pub const fn denied(reason: String) -> Self {
        Self {
            denied: Some(reason),
            warnings: Vec::new(),
        }
    }
}

/// Reviews an edit.
#[must_use]
pub fn review(edit: &Edit, cluster: &ClusterView<'_>) -> AdmissionVerdict {
    if edit.keeps_spec() {
        // Labels, annotations and finalizers cannot be wrong. An object that is refused must stay
        // editable, because its deletion can start with the removal of a finalizer.
        return AdmissionVerdict::default();
    }
    let mut resources = cluster.resources.clone();
    let name = edit.apply(&mut resources);
    let config = Config::build(&resources);
    if let Some(reason) = denial(edit, &name, &config, cluster.config) {
        return AdmissionVerdict::denied(reason);
    }
    let warnings = match edit {
        Edit::Pool(edit) => warnings::left_behind(edit, &config, cluster),
        Edit::L2Advertisement(edit) => warnings::unknown_pools(edit, &config),
    };
    AdmissionVerdict { denied: None, warnings }
}

/// Why the edit is denied, if it is; `after` is the configuration with the edit.
fn denial(edit: &Edit, name: &str, after: &Config, before: &Config) -> Option<String> {
    let kind = edit.kind();
    if let Some(text) = repetition::find(edit) {
        return Some(format!("{kind} {name}: {text}"));
    }
    let is_edited = |refusal: &&Refusal| refusal.kind == kind && refusal.name == name;
    if let Some(refusal) = after.refused.iter().find(is_edited) {
        return Some(refusal.to_string());
    }
    if edit.is_deletion() {
        return None;
    }
    // An object that was refused before the edit is no reason to deny it, even if the refusal
    // changes.
    let place = |refusal: &Refusal| (refusal.kind, refusal.name.clone());
    let refused_before: HashSet<_> = before.refused.iter().map(place).collect();
    let refusal = after
        .refused
        .iter()
        .find(|refusal| !refused_before.contains(&place(refusal)))?;
    Some(format!("this change would invalidate another object: {refusal}"))
}

/// Access to the metadata of both kinds of configuration objects.
trait ConfigurationObject: Clone {
    fn metadata(&self) -> &ObjectMeta;
    fn metadata_mut(&mut self) -> &mut ObjectMeta;

    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }
}

impl ConfigurationObject for IPAddressPool {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl ConfigurationObject for L2Advertisement {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Replaces the object of the same name. Returns that name.
fn replace<K: ConfigurationObject>(objects: &mut Vec<K>, edit: &AdmissionEdit<K>) -> String {
    let object = edit.new.as_ref().or(edit.old.as_ref());
    let name = object.map(K::name).unwrap_or_default().to_owned();
    objects.retain(|object| object.name() != name);
    if let Some(mut new) = edit.new.clone() {
        // A new object may have no creation time yet. It is younger than all others.
        let created = &mut new.metadata_mut().creation_timestamp;
        created.get_or_insert(Time(Timestamp::MAX));
        objects.push(new);
    }
    name
}

#[cfg(test)]
mod tests;
