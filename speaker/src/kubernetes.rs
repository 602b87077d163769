//! What the speaker reads from the Kubernetes API, and what it writes to it.
//!
//! | Module | Direction | Object |
//! |---|---|---|
//! | [`watcher`] | reads | Services, EndpointSlices, Nodes, IPAddressPools, L2Advertisements |
//! | [`peer_key`] | reads | the Secret with the key that seals messages between speakers |
//! | [`service_l2_status`] | writes | ServiceL2Status: which node announces a Service |
//! | [`configuration_state`] | writes | ConfigurationState: problems of configuration and node |
//! | [`events`] | writes | events on Services |
//! | [`node_events`] | writes | events on the Node: its problems |
//!
//! [`views`] reduces the objects that were read. [`cluster_cache`] keeps them and builds snapshots.
//! [`owner_pod`] is the owner of the objects that are written.

pub(crate) mod cluster_cache;
pub(crate) mod configuration_state;
pub(crate) mod events;
pub(crate) mod node_events;
pub(crate) mod owner_pod;
pub(crate) mod peer_key;
pub mod service_l2_status;
pub(crate) mod views;
pub(crate) mod watcher;
