//! Random sequences of edits, failed requests and restarts, by seed. When all is quiet again, no
//! address is held twice, no Service waits in vain, and no status has been written needlessly.

mod user;
mod violations;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    client::ClientBuilder,
};
use lodestone_crds::IPAddressPool;
use lodestone_runtime::clock;
use lodestone_tests::{Cluster, NAMESPACE};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::time::sleep;

use self::{
    user::User,
    violations::{observe, violations},
};
use super::{block_on, cluster, config, fault_injection::Faults, running_controller::start};

/// The number of sequences, unless `LODESTONE_SEEDS` sets it.
const SEEDS: u64 = 12;

/// The number of steps of each sequence.
const STEPS: usize = 80;

/// The pause between two reads of the quiet cluster.
const PAUSE: Duration = Duration::from_millis(250);

/// How many reads a violation may last before the test fails: longer than any retry waits.
const PATIENCE: usize = 400;

/// Runs one sequence and asserts that it ends without violations.
async fn run(cluster: &Cluster, seed: u64) {
    let config = config(cluster).await;
    let (faults, steady) = (Faults::new(seed), Client::try_from(config.clone()).unwrap());
    let faulty = ClientBuilder::try_from(config).unwrap().with_layer(&faults).build();
    let namespace = format!("seed{seed}");
    let namespaces: Api<Namespace> = Api::all(steady.clone());
    let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
    namespaces.create(&PostParams::default(), &object).await.unwrap();
    let (services, pools): (Api<Service>, Api<IPAddressPool>) = (
        Api::namespaced(steady.clone(), &namespace),
        Api::namespaced(steady.clone(), NAMESPACE),
    );
    let mut user = User {
        random: StdRng::seed_from_u64(seed),
        services: services.clone(),
        pools: pools.clone(),
        namespaces,
        namespace,
    };
    let far_future = clock::now() + Duration::from_secs(3600);
    let mut controller = start(&faulty, far_future);
    for _ in 0..STEPS {
        user.step().await;
        if user.random.random_bool(0.06) {
            drop(controller);
            controller = start(&faulty, far_future);
        }
        let pause = user.random.random_range(0..25);
        sleep(Duration::from_millis(pause)).await;
    }
    faults.stop();
    let mut last = (Vec::new(), Vec::new());
    for round in 0.. {
        let now: Vec<Service> = services.list(&ListParams::default()).await.unwrap().items;
        let seen: Vec<_> = now.iter().filter_map(observe).collect();
        let found = violations(&seen, &pools.list(&ListParams::default()).await.unwrap().items);
        let versions: Vec<Value> = now
            .iter()
            .map(|service| json!([service.name_any(), service.resource_version()]))
            .collect();
        let quiet = last == (found.clone(), versions.clone());
        if quiet && found.is_empty() {
            break;
        }
        assert!(round < PATIENCE, "seed {seed}: {found:?} in {seen:?}");
        last = (found, versions);
        // Long enough for a pending write to show as another version.
        sleep(PAUSE).await;
    }
    drop(controller);
    assert_eq!(faults.needless(), [""; 0], "seed {seed}");
    println!("seed {seed}: {:?}", faults.injected());
    for service in services.list(&ListParams::default()).await.unwrap().items {
        services
            .delete(&service.name_any(), &DeleteParams::default())
            .await
            .unwrap();
    }
    pools
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await
        .unwrap();
}

/// `LODESTONE_SEED=7 make e2e ONLY=p7_random_edits` runs one seed; `LODESTONE_SEEDS=100` runs more.
#[test]
fn p7_random_edits_and_faults_never_assign_an_address_twice() {
    let given = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let all = 0..given("LODESTONE_SEEDS").unwrap_or(SEEDS);
    let seeds = given("LODESTONE_SEED").map_or(all, |seed| seed..seed + 1);
    let cluster = cluster();
    block_on(async {
        for seed in seeds {
            run(&cluster, seed).await;
        }
    });
}
