//! Services of tests: of type LoadBalancer, before the pods of the quickstart.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    lodestone::NAMESPACE,
    wait::{wait_for, wait_until},
};

/// How long a move may take before something is broken.
const LIMIT: Duration = Duration::from_secs(60);

/// A Service of a test, with an address that a node announces; it goes with this.
pub struct Announced<'a> {
    cluster: &'a Cluster,
    name: &'static str,
    /// Its address.
    pub address: String,
    /// The node that owned it when it was made.
    pub owner: String,
}

impl<'a> Announced<'a> {
    /// Makes one in the namespace `default`, with these fields of its `spec` beside the usual ones, and waits until it is announced.
    ///
    /// # Errors
    /// When it does not come to that.
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
        // Who had the address for another Service a moment ago may still answer.
        announced.owner = wait_for(&format!("{name} to be announced"), LIMIT, || {
            let of_service = format!("metallb.io/service-name={name},metallb.io/service-namespace=default");
            let said = cluster.get(&["-n", NAMESPACE, "servicel2statuses", "-l", &of_service])?;
            let said = said["items"][0]["status"]["node"].as_str().map(str::to_owned);
            let owner = announced.owner_now()?;
            Ok(said.filter(|said| *said == owner))
        })?;
        Ok(announced)
    }

    /// The node that owns it now.
    ///
    /// # Errors
    /// When it is not exactly one.
    pub fn owner_now(&self) -> Result<String> {
        self.cluster.owner_of(&self.address)
    }

    /// Waits until another node than the first one owns it, and gives that.
    ///
    /// # Errors
    /// When it stays.
    pub fn moves(&self) -> Result<String> {
        let mut now = String::new();
        wait_until(&format!("{} to move from {}", self.address, self.owner), LIMIT, || {
            // Nobody for a while, or two.
            now = self.owner_now().unwrap_or_else(|_| self.owner.clone());
            now != self.owner
        })?;
        Ok(now)
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        // A test may have deleted it itself.
        if let Err(error) = self
            .cluster
            .kubectl(&["delete", "service", self.name, "--ignore-not-found"])
        {
            eprintln!("{error:#}");
        }
    }
}
