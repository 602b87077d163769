//! Time until the standby serves a new Service after the leader froze. It includes the rest of the
//! leader's Lease.

use std::time::Duration;

use anyhow::{Context, Result};
use lodestone_bench::load::{AddressWatch, create_services, delete_services};
use lodestone_daemon::clock;
use lodestone_tests::NAMESPACE;
use tokio::time::sleep;

use crate::{Bench, ms, system_under_test::SystemUnderTest};

const LEASE: &str = "lodestone-controller";

/// What the Lease lasts if it does not say so, in seconds.
const DEFAULT_LEASE: u64 = 15;

impl Bench {
    pub(crate) async fn leader_takeover(&self) -> Result<()> {
        for _ in 0..self.args.rounds {
            self.freeze_leader_once().await?;
        }
        Ok(())
    }

    async fn freeze_leader_once(&self) -> Result<()> {
        let system = SystemUnderTest::Lodestone;
        system.scale(&self.cluster, 2)?;
        sleep(Duration::from_secs(3)).await;
        let holder = "jsonpath={.spec.holderIdentity}";
        let leader = self
            .cluster
            .kubectl(&["-n", NAMESPACE, "get", "lease", LEASE, "-o", holder])?;
        self.cluster.process_of_pod(NAMESPACE, &leader)?.freeze();
        let frozen = clock::now();
        let lease = self.cluster.get(&["-n", NAMESPACE, "lease", LEASE])?;
        let seconds = lease["spec"]["leaseDurationSeconds"].as_u64().unwrap_or(DEFAULT_LEASE);
        let mut addresses = AddressWatch::start(&self.client).await?;
        create_services(&self.client, 1, None).await?;
        let seen = addresses.wait_for(1).await?;
        let served = seen.values().max().context("no Service has an address")?;
        println!(
            "leader frozen: a new Service received its address after {} ms; the Lease lasts {seconds} s",
            ms(served.saturating_duration_since(frozen))
        );
        delete_services(&self.client).await?;
        self.cluster.process_of_pod(NAMESPACE, &leader)?.kill();
        system.scale(&self.cluster, 0)
    }
}
