//! The cost of a controller that has nothing to do: memory, CPU and writes to the API.

use std::{future::ready, time::Duration};

use anyhow::Result;
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, runtime::watcher};
use lodestone_tests::NAMESPACE;
use tokio::time::sleep;

use crate::{Bench, system_under_test::SYSTEMS};

/// How long the idle controller is observed.
const OBSERVED: Duration = Duration::from_secs(30);

/// Resources that a controller may write, except its Lease.
const RESOURCES: [&str; 7] = [
    "ipaddresspools",
    "l2advertisements",
    "configurationstates",
    "services",
    "secrets",
    "events",
    "validatingwebhookconfigurations",
];

impl Bench {
    pub(crate) async fn idle(&self) -> Result<()> {
        for system in SYSTEMS {
            system.scale(&self.cluster, 1)?;
            let process = system.process(&self.cluster)?;
            sleep(Duration::from_secs(5)).await;
            let (cpu, writes) = (process.cpu()?, self.api_writes()?);
            let renewals = self.lease_writes(OBSERVED).await;
            let percent = (process.cpu()? - cpu).as_secs_f64() / OBSERVED.as_secs_f64() * 100.0;
            let writes = self.api_writes()? - writes;
            let mb = process.megabytes()?;
            println!(
                "{}: idle: {mb:.1} MB resident, {percent:.2} % CPU, {writes} API writes and {renewals} Lease writes in {OBSERVED:?}",
                system.name()
            );
            system.scale(&self.cluster, 0)?;
        }
        Ok(())
    }

    /// Returns how many writes of [`RESOURCES`] the API server has served since it started.
    fn api_writes(&self) -> Result<u64> {
        let metrics = self.cluster.kubectl(&["get", "--raw", "/metrics"])?;
        let count: f64 = metrics
            .lines()
            .filter(|line| line.starts_with("apiserver_request_total{") && is_write(line))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of requests"
        )]
        Ok(count as u64)
    }

    /// Counts writes of the controller's Lease during `time`.
    async fn lease_writes(&self, time: Duration) -> usize {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), NAMESPACE);
        let only = watcher::Config::default().fields("metadata.name=lodestone-controller");
        let events = watcher(api, only).take_until(sleep(time));
        let writes = events.filter(|event| ready(matches!(event, Ok(watcher::Event::Apply(_)))));
        writes.count().await
    }
}

/// Whether a line of the API server's request metric counts a write of one of [`RESOURCES`].
fn is_write(line: &str) -> bool {
    let has = |label: &str, values: &[&str]| {
        values
            .iter()
            .any(|value| line.contains(&format!("{label}=\"{value}\"")))
    };
    has("verb", &["POST", "PUT", "PATCH", "DELETE", "APPLY"]) && has("resource", &RESOURCES)
}
