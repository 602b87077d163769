//! Services for tests, of type LoadBalancer, with the pods of the quickstart as their endpoints.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    lodestone::NAMESPACE,
    wait::{wait_for, wait_until},
};

/// How long an announcement or a change of owner may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A Service whose address a node announces. Dropping this value deletes the Service.
#[derive(Debug)]
pub struct AnnouncedService<'a> {
    cluster: &'a Cluster,
    name: &'static str,
    /// The first address in its status.
    pub address: String,
    /// The first owner of the address.
    pub owner: String,
}

impl<'a> AnnouncedService<'a> {
    /// Creates a Service in the namespace `default` and waits until a node announces its address.
    /// `more` is an object with further fields of the Service's `spec`.
    ///
    /// # Errors
    /// When kubectl fails, or no node announces the address in time.
    pub fn new(cluster: &'a Cluster, name: &'static str, more: &Value) -> Result<Self> {
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
            "spec": {"type": "LoadBalancer", "selector": {"app": "nginx-deployment"}, "ports": [{"port": 80}]},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            service["spec"][key] = value.clone();
        }
        cluster.apply(&service.to_string())?;
        let mut announced = Self {
            cluster,
            name,
            address: String::new(),
            owner: String::new(),
        };
        announced.address = cluster.address_of("default", name)?;
        // The address may have been another Service's a moment ago, and its old owner may still
        // answer. Therefore the ServiceL2Status and the replies on the LAN must agree.
        announced.owner = wait_for(&format!("{name} to be announced"), LIMIT, || {
            let of_service = format!("metallb.io/service-name={name},metallb.io/service-namespace=default");
            let statuses = cluster.get(&["-n", NAMESPACE, "servicel2statuses", "-l", &of_service])?;
            let reported = statuses["items"][0]["status"]["node"].as_str().map(str::to_owned);
            let owner = announced.current_owner()?;
            Ok(reported.filter(|node| *node == owner))
        })?;
        Ok(announced)
    }

    /// The node that owns the address now, as [`Cluster::owner_of`].
    ///
    /// # Errors
    /// When the address does not have exactly one owner.
    pub fn current_owner(&self) -> Result<String> {
        self.cluster.owner_of(&self.address)
    }

    /// Waits until a node other than the first owner owns the address, and returns that node.
    ///
    /// # Errors
    /// When the first owner keeps the address.
    pub fn wait_for_move(&self) -> Result<String> {
        let mut owner = String::new();
        wait_until(&format!("{} to move from {}", self.address, self.owner), LIMIT, || {
            // During the move no node may answer, or two.
            owner = self.current_owner().unwrap_or_else(|_| self.owner.clone());
            owner != self.owner
        })?;
        Ok(owner)
    }
}

impl Drop for AnnouncedService<'_> {
    fn drop(&mut self) {
        // The test may have deleted the Service itself.
        if let Err(error) = self
            .cluster
            .kubectl(&["delete", "service", self.name, "--ignore-not-found"])
        {
            eprintln!("can't delete the Service {}: {error:#}", self.name);
        }
    }
}
