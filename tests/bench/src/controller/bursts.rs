//! Time from creation to address when several writers create many Services at once.

use std::time::Duration;

use anyhow::Result;
use lodestone_bench::{
    load::{AddressWatch, WRITERS, create_services, delete_services},
    statistics::percentile,
};
use tokio::time::sleep;

use crate::{
    Bench, ms,
    system_under_test::{SYSTEMS, SystemUnderTest},
};

/// Latencies from creation to address: of one round, or of several rounds.
#[derive(Default)]
struct Percentiles<T> {
    p50: T,
    p99: T,
}

impl Bench {
    pub(crate) async fn bursts(&self) -> Result<()> {
        let mut figures = SYSTEMS.map(|system| (system, Percentiles::<Vec<Duration>>::default()));
        for round in 0..self.args.rounds {
            for (system, rounds) in &mut figures {
                let burst = self.burst(*system, round).await?;
                rounds.p50.push(burst.p50);
                rounds.p99.push(burst.p99);
            }
        }
        let [lodestone, bare_loop] = figures.map(|(_, mut rounds)| Percentiles {
            p50: percentile(&mut rounds.p50, 50),
            p99: percentile(&mut rounds.p99, 50),
        });
        let compare = |ours: Duration, baseline: Duration| {
            let ratio = ours.as_secs_f64() / baseline.as_secs_f64();
            format!("{} ms ({ratio:.2} times the bare loop's {})", ms(ours), ms(baseline))
        };
        println!(
            "{} Services by {WRITERS} writers, from creation to address, median of all rounds: p50 {}, p99 {}",
            self.args.services,
            compare(lodestone.p50, bare_loop.p50),
            compare(lodestone.p99, bare_loop.p99)
        );
        Ok(())
    }

    /// Measures one burst of one system.
    async fn burst(&self, system: SystemUnderTest, round: usize) -> Result<Percentiles<Duration>> {
        let count = self.args.services;
        system.scale(&self.cluster, 1)?;
        let process = system.process(&self.cluster)?;
        sleep(Duration::from_secs(3)).await;
        let mut addresses = AddressWatch::start(&self.client).await?;
        let requested = create_services(&self.client, count, None).await?;
        let seen = addresses.wait_for(count).await?;
        let mut times: Vec<Duration> = requested
            .iter()
            .filter_map(|(name, requested)| Some(*seen.get(name)? - *requested))
            .collect();
        let burst = Percentiles {
            p50: percentile(&mut times, 50),
            p99: percentile(&mut times, 99),
        };
        println!(
            "{}: {count} created, round {}: p50 {} ms, p99 {} ms, {:.1} MB resident, {} ms of CPU",
            system.name(),
            round + 1,
            ms(burst.p50),
            ms(burst.p99),
            process.megabytes()?,
            process.cpu()?.as_millis()
        );
        delete_services(&self.client).await?;
        system.scale(&self.cluster, 0)?;
        Ok(burst)
    }
}
