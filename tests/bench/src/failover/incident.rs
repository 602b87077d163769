//! The incidents: how each is caused, observed from a client, and repaired.

use std::{net::IpAddr, thread, time::Duration};

use anyhow::Result;
use lodestone_tests::{Cluster, LossRule, NAMESPACE, wait_until};

use crate::{
    READY_TIMEOUT,
    probe::{Disruption, Probe},
};

/// A node with this label is not eligible.
pub(crate) const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

const SPEAKERS: &str = "daemonset/lodestone-speaker";

/// Enough HTTP requests that every pod of the Service receives some.
const ENOUGH_FOR_ALL_PODS: usize = 40;

/// How many connections are open during an incident.
const CONNECTIONS: usize = 50;

/// What happens to the owner of the address, or to the cluster around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incident {
    KillSpeaker,
    DeleteOwnerPod,
    DeleteOtherPod,
    RestartSpeakers,
    ExcludeOwner,
    PowerOff,
    PowerOffWithoutApi,
    UnplugCable,
    LosePackets,
}

impl Incident {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KillSpeaker => "owner's speaker killed",
            Self::DeleteOwnerPod => "owner's speaker pod deleted",
            Self::DeleteOtherPod => "another node's speaker pod deleted",
            Self::RestartSpeakers => "all speakers restarted",
            Self::ExcludeOwner => "planned handover",
            Self::PowerOff => "owner's node without power",
            Self::PowerOffWithoutApi => "owner's node without power, API server down",
            Self::UnplugCable => "owner's LAN cable unplugged",
            Self::LosePackets => "30 % packet loss",
        }
    }

    /// Returns how many connections the client keeps open. Connections through a node that leaves
    /// the LAN break in any case, so their number would say nothing about failover.
    const fn connections(self) -> usize {
        match self {
            Self::PowerOff | Self::PowerOffWithoutApi | Self::UnplugCable => 0,
            _ => CONNECTIONS,
        }
    }

    /// Returns how long the client observes the address after the incident began.
    const fn observed_after(self) -> Duration {
        Duration::from_secs(match self {
            Self::PowerOff | Self::PowerOffWithoutApi | Self::UnplugCable => 3,
            Self::KillSpeaker | Self::DeleteOwnerPod | Self::DeleteOtherPod | Self::ExcludeOwner => 6,
            Self::RestartSpeakers | Self::LosePackets => 2,
        })
    }
}

/// One measurement: the incident hits the node that owned `address` when the round began.
pub(crate) struct Round<'a> {
    cluster: &'a Cluster,
    incident: Incident,
    address: IpAddr,
    owner: String,
    /// The speaker's pod that the incident concerns.
    pod: String,
}

impl<'a> Round<'a> {
    /// Finds the present owner.
    pub(crate) fn new(cluster: &'a Cluster, incident: Incident, address: IpAddr) -> Result<Self> {
        let owner = cluster.owner_of(&address.to_string())?;
        let nodes = cluster.spec().nodes();
        let other = nodes.iter().rfind(|node| **node != owner);
        let node = other.filter(|_| incident == Incident::DeleteOtherPod).unwrap_or(&owner);
        let pod = cluster.pod_of("speaker", Some(node))?;
        Ok(Self {
            cluster,
            incident,
            address,
            owner,
            pod,
        })
    }

    /// Causes the incident, repairs it, and waits until the cluster is as before. Returns what the
    /// client noticed, and a text about the owner.
    pub(crate) fn run(&self) -> Result<(Disruption, String)> {
        if self.incident == Incident::PowerOffWithoutApi {
            self.cluster.stop_api_server()?;
            thread::sleep(Duration::from_secs(2));
        }
        let client = self.cluster.host("client1");
        let probe = Probe {
            client: &client,
            address: self.address,
            connections: self.incident.connections(),
            after: self.incident.observed_after(),
        };
        let disruption = probe.observe(|| self.cause())?;
        if self.incident == Incident::PowerOffWithoutApi {
            self.cluster.start_api_server()?;
        }
        let new = self.cluster.owner_of(&self.address.to_string())?;
        let owner = if new == self.owner {
            format!("owner still {new}")
        } else {
            format!("owner changed from {} to {new}", self.owner)
        };
        self.repair()?;
        self.wait_until_recovered()?;
        Ok((disruption, owner))
    }

    fn cause(&self) -> Result<()> {
        match self.incident {
            Incident::KillSpeaker => {
                self.cluster.process_of_pod(NAMESPACE, &self.pod)?.kill();
                Ok(())
            }
            Incident::DeleteOwnerPod | Incident::DeleteOtherPod => {
                self.kubectl(&["-n", NAMESPACE, "delete", "pod", &self.pod, "--wait=false"])
            }
            Incident::RestartSpeakers => {
                self.kubectl(&["-n", NAMESPACE, "rollout", "restart", SPEAKERS])?;
                self.kubectl(&["-n", NAMESPACE, "rollout", "status", SPEAKERS, "--timeout=180s"])
            }
            Incident::ExcludeOwner => self.kubectl(&["label", "node", &self.owner, &format!("{EXCLUDE_LABEL}=")]),
            Incident::PowerOff | Incident::PowerOffWithoutApi => self.cluster.power_off(&self.owner),
            Incident::UnplugCable => self.cluster.set_carrier(&self.owner, false),
            Incident::LosePackets => self.lose_packets(),
        }
    }

    fn lose_packets(&self) -> Result<()> {
        let nodes = self.cluster.spec().nodes();
        for node in &nodes {
            self.cluster.set_lan_loss(node, LossRule::Percent(30))?;
        }
        thread::sleep(Duration::from_secs(60));
        nodes.iter().try_for_each(|node| self.cluster.restore_links(node))
    }

    fn repair(&self) -> Result<()> {
        match self.incident {
            Incident::PowerOff | Incident::PowerOffWithoutApi => self.cluster.bring_back(&self.owner),
            Incident::UnplugCable => self.cluster.set_carrier(&self.owner, true),
            Incident::ExcludeOwner => self.kubectl(&["label", "node", &self.owner, &format!("{EXCLUDE_LABEL}-")]),
            // A new pod starts at once. A container that was killed often would wait in kubelet's
            // restart back-off.
            Incident::KillSpeaker => self.kubectl(&["-n", NAMESPACE, "delete", "pod", &self.pod]),
            Incident::DeleteOwnerPod | Incident::DeleteOtherPod | Incident::RestartSpeakers | Incident::LosePackets => {
                Ok(())
            }
        }
    }

    fn wait_until_recovered(&self) -> Result<()> {
        self.cluster.wait_for_lodestone()?;
        let client = self.cluster.host("client1");
        let address = self.address.to_string();
        // The Service may still have endpoints on a node that went away.
        wait_until("all pods to answer", READY_TIMEOUT, || {
            (0..ENOUGH_FOR_ALL_PODS).all(|_| client.http(&address, 80).is_ok())
        })?;
        // Let the learned loss and gaps of the links settle, and the pods of a restarted node
        // serve.
        thread::sleep(Duration::from_secs(3));
        Ok(())
    }

    fn kubectl(&self, args: &[&str]) -> Result<()> {
        self.cluster.kubectl(args).map(drop)
    }
}
