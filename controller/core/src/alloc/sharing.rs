//! Decides when two Services may hold one address.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use jiff::Timestamp;
use lodestone_crds::ObjectKey;

use super::AllocationConflict;

/// A transport protocol, as a Service spells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub String);

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The transport protocol: `TCP`, `UDP` or `SCTP`.
    pub protocol: Protocol,
    /// The port number, as the Service has it; the API server has checked its range.
    pub number: i32,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.protocol.0, self.number)
    }
}

/// Which nodes can serve a Service's traffic. One node answers for an address, so Services that
/// share it need the same nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// externalTrafficPolicy Cluster: every node.
    AnyNode,
    /// externalTrafficPolicy Local: the nodes of these pods.
    NodesOf {
        /// The namespace of the pods.
        namespace: String,
        /// The selector of the pods.
        selector: BTreeMap<String, String>,
    },
}

/// How a Service holds its addresses: everything that decides whether others may share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressHolder {
    /// The key under which the Service shares; `None` when it does not share.
    pub sharing_key: Option<String>,
    /// Which nodes can serve it.
    pub backend: Backend,
    /// The ports that clients connect to. Two Services share an address only if these differ.
    pub ports: Vec<Port>,
    /// When the Service was created.
    pub since: Option<Timestamp>,
}

impl AddressHolder {
    /// Checks whether this Service may hold `address` beside `other`, which is Service `by`.
    pub(super) fn check_beside(&self, other: &Self, address: IpAddr, by: &ObjectKey) -> Result<(), AllocationConflict> {
        let by = || by.clone();
        match (&self.sharing_key, &other.sharing_key) {
            (Some(mine), Some(theirs)) if mine == theirs => {}
            (Some(_), Some(_)) => return Err(AllocationConflict::OtherKey { address, by: by() }),
            _ => return Err(AllocationConflict::InUse { address, by: by() }),
        }
        if self.backend != other.backend {
            return Err(AllocationConflict::OtherBackend { address, by: by() });
        }
        match self.ports.iter().find(|port| other.ports.contains(port)) {
            Some(port) => Err(AllocationConflict::Port {
                address,
                port: port.clone(),
                by: by(),
            }),
            None => Ok(()),
        }
    }
}
