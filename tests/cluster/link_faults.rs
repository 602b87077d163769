//! Things that go wrong, for tests.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::{
    cluster::Cluster,
    control_plane::{API_SERVER_PARTS, ControlPlane},
    netns::Netns,
    network::{lan_port, node_port},
    node::{NODE_PARTS, Node},
    process::{Tool, all_pids, command_line, parent, send},
    teardown::end_processes,
    wait::{wait_for, wait_until},
};

/// The bridge of those who are parted from the others.
const OTHER_SIDE: &str = "other-side";

/// How much of what a link carries is lost, in percent of the packets, each way by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Every packet, without the hosts' seeing anything: their carrier stays.
    All,
    /// As many in a hundred, at random.
    Percent(u8),
}

/// The first process of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodProcess {
    pid: u32,
}

impl PodProcess {
    /// Its pid on this machine.
    #[must_use]
    pub const fn pid(self) -> u32 {
        self.pid
    }

    /// Kills it, as the kernel does to one that uses too much memory.
    pub fn kill(self) {
        send(self.pid, Signal::SIGKILL);
    }

    /// Stops it from running.
    pub fn freeze(self) {
        send(self.pid, Signal::SIGSTOP);
    }

    /// Lets it run on.
    pub fn thaw(self) {
        send(self.pid, Signal::SIGCONT);
    }
}

impl Cluster {
    /// The process of the only container of a pod.
    ///
    /// # Errors
    /// When the pod has none that runs.
    pub fn process_of_pod(&self, namespace: &str, pod: &str) -> Result<PodProcess> {
        let pid = wait_for(
            &format!("a process of {pod}"),
            std::time::Duration::from_secs(30),
            || {
                let path = "jsonpath={.status.containerStatuses[0].containerID}";
                let id = self.kubectl(&["-n", namespace, "get", "pod", pod, "-o", path])?;
                let id = id.trim().trim_start_matches("containerd://").to_owned();
                // The first process of a container is the one whose parent is the shim.
                Ok(all_pids().into_iter().filter(|_| !id.is_empty()).find(|pid| {
                    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
                    cgroup.contains(&id)
                        && parent(*pid).is_some_and(|parent| command_line(parent).contains("containerd-shim"))
                }))
            },
        )?;
        Ok(PodProcess { pid })
    }

    /// Kills the API server and etcd.
    ///
    /// # Errors
    /// When they do not end.
    pub fn stop_api_server(&self) -> Result<()> {
        API_SERVER_PARTS
            .iter()
            .rev()
            .try_for_each(|part| self.state().daemon(part).kill())
    }

    /// Starts them again, with all they knew, and waits until the API server answers.
    ///
    /// # Errors
    /// When they do not come up.
    pub fn start_api_server(&self) -> Result<()> {
        let control_plane = ControlPlane {
            spec: self.spec(),
            state: self.state(),
            binaries: self.binaries(),
        };
        API_SERVER_PARTS.iter().try_for_each(|part| control_plane.start(part))?;
        self.wait_for_api_server()
    }

    /// Takes a node's power away: from one moment to the next nothing comes from it any more.
    ///
    /// # Errors
    /// When its links or processes can't be reached.
    pub fn power_off(&self, node: &str) -> Result<()> {
        for port in self.ports(node) {
            self.lose_on(&port, Loss::All)?;
        }
        let daemons: Vec<_> = NODE_PARTS
            .iter()
            .map(|part| self.state().daemon(&format!("{node}-{part}")))
            .collect();
        end_processes(&daemons, &self.state().path().join(node))
    }

    /// Gives it back.
    ///
    /// # Errors
    /// When a part of the node does not start.
    pub fn power_on(&self, node: &str) -> Result<()> {
        for port in self.ports(node) {
            self.mend_port(&port)?;
        }
        let index = self
            .spec()
            .nodes()
            .iter()
            .position(|name| name == node)
            .context("no such node")?;
        let (spec, state, binaries) = (self.spec(), self.state(), self.binaries());
        Node {
            spec,
            state,
            binaries,
            index,
            name: node.to_owned(),
        }
        .start_all()
    }

    /// Gives a node its power back, and waits until Kubernetes counts on it again; a node that was removed meanwhile registers anew.
    ///
    /// # Errors
    /// When a part of it does not start, or it does not get ready.
    pub fn bring_back(&self, node: &str) -> Result<()> {
        self.power_on(node)?;
        let registers = Duration::from_secs(60);
        wait_until(&format!("{node} to be there"), registers, || {
            self.get(&["node", node]).is_ok()
        })?;
        self.kubectl(&[
            "wait",
            "--for=condition=Ready",
            &format!("node/{node}"),
            "--timeout=120s",
        ])?;
        Ok(())
    }

    /// Loses packets of a host on the LAN.
    ///
    /// # Errors
    /// When the packet filter refuses.
    pub fn lose_on_lan(&self, host: &str, loss: Loss) -> Result<()> {
        self.lose_on(&lan_port(host), loss)
    }

    /// Loses packets of a node on the node network; in the flat topology that is the LAN.
    ///
    /// # Errors
    /// When the packet filter refuses.
    pub fn lose_on_node_network(&self, node: &str, loss: Loss) -> Result<()> {
        self.lose_on(&node_port(self.layout(), node), loss)
    }

    /// Ends every loss of a host.
    ///
    /// # Errors
    /// When the packet filter refuses.
    pub fn mend(&self, host: &str) -> Result<()> {
        self.ports(host).iter().try_for_each(|port| self.mend_port(port))
    }

    /// Plugs the cable of a host on the LAN out or in: the host sees its carrier go and come.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn plug(&self, host: &str, plugged: bool) -> Result<()> {
        self.bridges()
            .ip(&["link", "set", &lan_port(host), if plugged { "up" } else { "down" }])?;
        Ok(())
    }

    /// Parts these hosts from all others, on every network: those on the same side still hear each other.
    ///
    /// # Errors
    /// When there is no such host, or they are parted already.
    pub fn part(&self, hosts: &[&str]) -> Result<()> {
        self.bridges()
            .ip(&["link", "add", OTHER_SIDE, "up", "type", "bridge", "forward_delay", "0"])?;
        for port in hosts.iter().flat_map(|host| self.ports(host)) {
            self.bridges().ip(&["link", "set", &port, "master", OTHER_SIDE])?;
        }
        Ok(())
    }

    /// Joins them again.
    ///
    /// # Errors
    /// When they are not parted.
    pub fn join(&self, hosts: &[&str]) -> Result<()> {
        for port in hosts.iter().flat_map(|host| self.ports(host)) {
            // A port is named for its bridge.
            let bridge = port.split('-').next().unwrap_or_default();
            self.bridges().ip(&["link", "set", &port, "master", bridge])?;
        }
        self.bridges().ip(&["link", "del", OTHER_SIDE])?;
        Ok(())
    }

    /// Keeps broadcasts on the LAN from a host, as some switches and hypervisors do; [`Self::mend`] ends it.
    ///
    /// # Errors
    /// When the packet filter refuses.
    pub fn keep_broadcasts_from(&self, host: &str) -> Result<()> {
        let port = lan_port(host);
        self.mend_port(&port)?;
        self.nft(format!(
            "add table netdev {port}\n\
             add chain netdev {port} egress {{ type filter hook egress device \"{port}\" priority 0; }}\n\
             add rule netdev {port} egress ether daddr ff:ff:ff:ff:ff:ff drop\n"
        ))?
        .run()?;
        Ok(())
    }

    fn ports(&self, host: &str) -> Vec<String> {
        let mut ports = vec![lan_port(host), node_port(self.layout(), host)];
        ports.dedup();
        ports
    }

    fn bridges(&self) -> Netns {
        Netns::new(self.spec().namespace("lan"))
    }

    fn nft(&self, script: String) -> Result<Tool> {
        Ok(self.bridges().tool("nft").args(["-f", "-"]).input(script))
    }

    fn lose_on(&self, port: &str, loss: Loss) -> Result<()> {
        self.mend_port(port)?;
        let verdict = match loss {
            Loss::All => "drop".to_owned(),
            Loss::Percent(percent) => format!("numgen random mod 100 < {percent} drop"),
        };
        let mut script = format!("add table netdev {port}\n");
        for hook in ["ingress", "egress"] {
            script += &format!(
                "add chain netdev {port} {hook} {{ type filter hook {hook} device \"{port}\" priority 0; }}\n\
                 add rule netdev {port} {hook} {verdict}\n"
            );
        }
        self.nft(script)?.run()?;
        Ok(())
    }

    fn mend_port(&self, port: &str) -> Result<()> {
        // Adding a table that exists changes nothing; deleting one that does not exist would fail.
        self.nft(format!("add table netdev {port}\ndelete table netdev {port}\n"))?
            .run()?;
        Ok(())
    }
}
