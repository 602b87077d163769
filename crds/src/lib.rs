//! The API of Lodestone, and what it means.
//!
//! - The types of group `metallb.io`, from which `crdgen` derives the CustomResourceDefinitions that the chart ships.
//! - [`IpRange`]: runs of addresses of either family, as pools spell them.
//! - [`Config`]: all objects of a cluster turned into one validated model, plus a list of what was refused and why. One bad
//!   object is refused by itself and harms nothing else.
//!
//! Nothing here does I/O, asks a clock or knows a client.
#![forbid(unsafe_code)]

mod annotations;
pub mod config;
mod configuration_state;
mod crd;
mod ip_address_pool;
mod ip_range;
mod l2_advertisement;
mod object_key;
mod selector;
mod service_l2_status;

pub use annotations::{ANNOTATION_PREFIX, DEPRECATED_ANNOTATION_PREFIX, annotation};
pub use config::{Config, Refusal, Resources};
pub use configuration_state::{
    ConfigurationResult, ConfigurationState, ConfigurationStateFields, ConfigurationStateStatus,
};
pub use crd::{custom_resource_definitions, to_yaml};
pub use ip_address_pool::{IPAddressPool, IPAddressPoolSpec, IPAddressPoolStatus, ServiceAllocation};
pub use ip_range::{Family, IpRange, RangeError};
pub use l2_advertisement::{
    L2Advertisement, L2AdvertisementFields, L2AdvertisementSpec, L2AdvertisementStatus, PreferredNodeSelector,
};
pub use object_key::ObjectKey;
pub use selector::{Labels, Selector, SelectorError};
pub use service_l2_status::{
    InterfaceInfo, ServiceL2Status, ServiceL2StatusFields, ServiceL2StatusSpec, ServiceL2StatusStatus,
};

/// The label, and the finaliser-free owner mark, by which the objects of one node are found.
pub const NODE_LABEL: &str = "metallb.io/node";
/// The label with the name of the Service that a status object is about.
pub const SERVICE_NAME_LABEL: &str = "metallb.io/service-name";
/// The label with the namespace of the Service that a status object is about.
pub const SERVICE_NAMESPACE_LABEL: &str = "metallb.io/service-namespace";
