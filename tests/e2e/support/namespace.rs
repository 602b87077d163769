//! A namespace for one test.

use std::cell::Cell;

use lodestone_tests::{Cluster, NAMESPACE};
use serde_json::{Value, json};

use super::merge;

/// The namespace of one test. Dropping it deletes its Services, its pools and then itself.
pub(crate) struct TestNamespace<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) name: String,
    has_pools: Cell<bool>,
}

impl<'a> TestNamespace<'a> {
    pub(crate) fn create(cluster: &'a Cluster, name: &str) -> Self {
        cluster.kubectl(&["create", "namespace", name]).unwrap();
        Self {
            cluster,
            name: name.to_owned(),
            has_pools: Cell::new(false),
        }
    }

    /// Runs kubectl in this namespace.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.cluster.kubectl(&[&["-n", &self.name], args].concat()).unwrap()
    }

    /// Applies an object in this namespace.
    pub(crate) fn apply(&self, object: &Value) {
        let mut object = object.clone();
        object["metadata"]["namespace"] = self.name.as_str().into();
        self.cluster.apply(&object.to_string()).unwrap();
    }

    /// Applies a pool that serves only this namespace, unless `spec` says otherwise.
    pub(crate) fn pool(&self, name: &str, addresses: &[&str], spec: &Value) {
        self.try_pool(name, addresses, spec).unwrap();
    }

    /// Like [`Self::pool`]; returns the output of kubectl, or its error.
    pub(crate) fn try_pool(&self, name: &str, addresses: &[&str], spec: &Value) -> anyhow::Result<String> {
        let mut pool = json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"test": self.name}},
            "spec": {"addresses": addresses, "serviceAllocation": {"namespaces": [self.name]}},
        });
        merge(&mut pool["spec"], spec);
        self.has_pools.set(true);
        self.cluster.apply(&pool.to_string())
    }
}

impl Drop for TestNamespace<'_> {
    fn drop(&mut self) {
        let label = format!("test={}", self.name);
        // The Services come first, and kubectl waits for them: the next test may need their
        // addresses.
        let mut steps = vec![vec!["-n", &self.name, "delete", "services", "--all"]];
        if self.has_pools.get() {
            steps.push(vec!["-n", NAMESPACE, "delete", "ipaddresspools", "-l", &label]);
        }
        steps.push(vec!["delete", "namespace", &self.name, "--wait=false"]);
        for args in steps {
            if let Err(error) = self.cluster.kubectl(&args) {
                eprintln!("{error:#}");
            }
        }
    }
}
