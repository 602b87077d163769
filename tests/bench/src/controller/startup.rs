//! Time from the start of the process until every Service that existed before has an address.

use std::time::Duration;

use anyhow::{Context, Result};
use lodestone_bench::{
    load::{AddressWatch, create_services, delete_services},
    statistics::percentile,
};
use lodestone_daemon::clock;
use tokio::time::sleep;

use crate::{
    Bench, ms,
    system_under_test::{SYSTEMS, SystemUnderTest},
};

/// Above this number of Services one round must do, because it takes minutes.
const MANY: usize = 2000;

impl Bench {
    pub(crate) async fn startup(&self, count: usize) -> Result<()> {
        let rounds = if count > MANY { 1 } else { self.args.rounds };
        for system in SYSTEMS {
            let mut times = Vec::new();
            for _ in 0..rounds {
                times.push(self.start_once(system, count).await?);
            }
            println!(
                "{}: {count} Services at start: median {} ms",
                system.name(),
                ms(percentile(&mut times, 50))
            );
        }
        Ok(())
    }

    /// Returns the time until all of `count` Services have an address.
    async fn start_once(&self, system: SystemUnderTest, count: usize) -> Result<Duration> {
        create_services(&self.client, count, None).await?;
        // Let kube-proxy and the speakers finish their own work with the new Services.
        sleep(Duration::from_secs(if count > MANY { 30 } else { 5 })).await;
        let mut addresses = AddressWatch::start(&self.client).await?;
        system.scale(&self.cluster, 1)?;
        let seen = addresses.wait_for(count).await?;
        let process = system.process(&self.cluster)?;
        let started = clock::now() - process.age()?;
        let first = seen.values().min().context("no Service has an address")?;
        let last = seen.values().max().context("no Service has an address")?;
        let all = last.saturating_duration_since(started);
        println!(
            "{}: {count} Services at start: first address after {} ms, all after {} ms, {:.1} MB resident, {} ms of CPU",
            system.name(),
            ms(first.saturating_duration_since(started)),
            ms(all),
            process.megabytes()?,
            process.cpu()?.as_millis()
        );
        delete_services(&self.client).await?;
        system.scale(&self.cluster, 0)?;
        Ok(all)
    }
}
