//! What the controller and the speaker share as clients of the Kubernetes API.
//!
//! | Module | Purpose |
//! |---|---|
//! | [`client`] | the connection to the API server, and the time limit of a request |
//! | [`condition`] | status conditions, written only when something changed |
//! | [`configuration_state`] | the `ConfigurationState` object of a component |
//! | [`decode_guard`] | objects that may fail to decode without harm to the rest of a list |
//! | [`events`] | Kubernetes events, sent in the background |
//! | [`lease`] | leader election among replicas |
//! | [`node`] | Nodes, reduced to the fields in use |
//! | [`service`] | Services, reduced to the fields in use |
//! | [`watch`] | watches in which one bad object does not affect the others |

pub mod client;
pub mod condition;
pub mod configuration_state;
pub mod decode_guard;
pub mod events;
pub mod lease;
pub mod node;
pub mod service;
mod slim_metadata;
pub mod watch;
