//! The API of Lodestone: the types of group `metallb.io`, and the validated configuration.
//!
//! | Item | Purpose |
//! |---|---|
//! | [`IPAddressPool`], [`L2Advertisement`] | what users configure |
//! | [`ServiceL2Status`], [`ConfigurationState`] | what Lodestone reports |
//! | [`to_yaml`] | the CustomResourceDefinitions of these types, for the chart |
//! | [`Config`], [`mod@config`] | all objects as one validated model, and the [`Refusal`]s |
//! | [`IpRange`], [`Family`] | ranges of addresses, as pools spell them |
//! | [`ObjectKey`] | the namespace and the name of an object |
//! | [`ResourceChange`] | what a watch reports about an object |
//! | [`annotation`], [`recorded_pool`], constants | names of annotations, labels and entries that both programs use |
//!
//! This crate does no I/O, reads no clock and has no Kubernetes client.
#![forbid(unsafe_code)]

mod annotations;
pub mod config;
mod configuration_state;
mod constants;
mod crd;
mod ip_address_pool;
mod ip_range;
mod l2_advertisement;
mod object_key;
mod resource_change;
mod selector;
mod service_l2_status;

pub use annotations::{ANNOTATION_PREFIX, DEPRECATED_ANNOTATION_PREFIX, annotation, recorded_pool};
pub use config::{Config, Refusal, Resources};
pub use configuration_state::{
    ConfigurationResult, ConfigurationState, ConfigurationStateFields, ConfigurationStateStatus,
};
pub use constants::{
    COMPONENT_TYPE_LABEL, DEPRECATED_POOL_ANNOTATION, NODE_LABEL, PEER_KEY_ENTRY, POOL_ANNOTATION, SERVICE_NAME_LABEL,
    SERVICE_NAMESPACE_LABEL,
};
pub use crd::to_yaml;
pub use ip_address_pool::{IPAddressPool, IPAddressPoolSpec, IPAddressPoolStatus, ServiceAllocation};
pub use ip_range::{Family, IpRange, RangeError};
pub use l2_advertisement::{
    L2Advertisement, L2AdvertisementFields, L2AdvertisementSpec, L2AdvertisementStatus, PreferredNodeSelector,
};
pub use object_key::ObjectKey;
pub use resource_change::ResourceChange;
pub use selector::Labels;
pub use service_l2_status::{
    InterfaceInfo, ServiceL2Status, ServiceL2StatusFields, ServiceL2StatusSpec, ServiceL2StatusStatus,
};
