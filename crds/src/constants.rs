//! Names in the cluster that both programs use. All of them are MetalLB's.

/// Label on the objects that a component writes: the kind of component, `controller` or `speaker`.
pub const COMPONENT_TYPE_LABEL: &str = "metallb.io/component-type";

/// Label on the objects that a speaker writes: the name of its node. It also marks which speaker
/// owns the object.
pub const NODE_LABEL: &str = "metallb.io/node";

/// Label on a `ServiceL2Status`: the name of its Service.
pub const SERVICE_NAME_LABEL: &str = "metallb.io/service-name";

/// Label on a `ServiceL2Status`: the namespace of its Service.
pub const SERVICE_NAMESPACE_LABEL: &str = "metallb.io/service-namespace";

/// Annotation on a Service: the name of the pool that its addresses come from. Only the controller
/// writes it.
pub const POOL_ANNOTATION: &str = "metallb.io/ip-allocated-from-pool";

/// [`POOL_ANNOTATION`] under the deprecated prefix, as MetalLB before 0.14.9 wrote it. The
/// controller removes it whenever it writes to a Service.
pub const DEPRECATED_POOL_ANNOTATION: &str = "metallb.universe.tf/ip-allocated-from-pool";

/// Entry of the speakers' Secret that holds the key of their messages.
pub const PEER_KEY_ENTRY: &str = "secretkey";
