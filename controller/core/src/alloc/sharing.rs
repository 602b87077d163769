//! Decides when two Services may hold one address.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use jiff::Timestamp;
use lodestone_crds::ObjectKey;

use super::Taken;

/// A transport protocol, as a Service spells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub String);

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
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
    /// Its ports.
    pub ports: Vec<Port>,
    /// When the Service was created.
    pub since: Option<Timestamp>,
}

impl AddressHolder {
    /// Checks whether this Service may hold `address` beside `other`, which is Service `by`.
    pub(super) fn check_beside(&self, other: &Self, address: IpAddr, by: &ObjectKey) -> Result<(), Taken> {
        let by = || by.clone();
        match (&self.sharing_key, &other.sharing_key) {
            (Some(mine), Some(theirs)) if mine == theirs => {}
            (Some(_), Some(_)) => return Err(Taken::OtherKey { address, by: by() }),
            _ => return Err(Taken::InUse { address, by: by() }),
        }
        if self.backend != other.backend {
            return Err(Taken::OtherBackend { address, by: by() });
        }
        match self.ports.iter().find(|port| other.ports.contains(port)) {
            Some(port) => Err(Taken::Port {
                address,
                port: port.clone(),
                by: by(),
            }),
            None => Ok(()),
        }
    }
}
