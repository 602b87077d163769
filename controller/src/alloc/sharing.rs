//! When two Services may have one address.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use jiff::Timestamp;
use lodestone_crds::ObjectKey;
use serde::Serialize;

use super::Taken;

/// A transport protocol, as Services name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Protocol(pub String);

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

/// Which nodes can serve a Service's traffic. Services that share an address must have the same, since one node answers for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
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

/// How a Service holds its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// The key under which it shares; `None`: it does not.
    pub sharing: Option<String>,
    /// Which nodes can serve it.
    pub backend: Backend,
    /// Its ports.
    pub ports: Vec<Port>,
    /// When the Service was made.
    #[serde(skip)]
    pub since: Option<Timestamp>,
}

impl Tenant {
    /// Whether this one may have `address` beside `other`, who has it.
    pub(super) fn beside(&self, other: &Self, address: IpAddr, by: &ObjectKey) -> Result<(), Taken> {
        let by = || by.clone();
        match (&self.sharing, &other.sharing) {
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
