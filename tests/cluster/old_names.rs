//! The former names of this library, until no test uses them any more.
#![expect(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "each item only forwards to its new name"
)]

use anyhow::Result;

use crate::{AnnouncedService, Cluster, Loss, RecordedDatagram};

pub use crate::{
    AnnouncedService as Announced, Layout as Topology, RecordedDatagram as Recorded, ServerAnswer as Answer,
};

impl Cluster {
    pub fn record(&self, host: &str, port: u16, count: usize) -> Result<Vec<RecordedDatagram>> {
        self.record_datagrams(host, port, count)
    }

    pub fn event(&self, namespace: &str, object: &str, reason: &str) -> Result<String> {
        self.wait_for_event(namespace, object, reason)
    }

    pub fn lose_on_lan(&self, host: &str, loss: Loss) -> Result<()> {
        self.set_lan_loss(host, loss)
    }

    pub fn lose_on_node_network(&self, node: &str, loss: Loss) -> Result<()> {
        self.set_node_network_loss(node, loss)
    }

    pub fn mend(&self, host: &str) -> Result<()> {
        self.restore_links(host)
    }

    pub fn plug(&self, host: &str, plugged: bool) -> Result<()> {
        self.set_carrier(host, plugged)
    }

    pub fn part(&self, hosts: &[&str]) -> Result<()> {
        self.partition(hosts)
    }

    pub fn join(&self, hosts: &[&str]) -> Result<()> {
        self.end_partition(hosts)
    }

    pub fn keep_broadcasts_from(&self, host: &str) -> Result<()> {
        self.block_broadcasts_to(host)
    }
}

impl AnnouncedService<'_> {
    pub fn owner_now(&self) -> Result<String> {
        self.current_owner()
    }

    pub fn moves(&self) -> Result<String> {
        self.wait_for_move()
    }
}
