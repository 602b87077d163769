//! Whatever the sequence of edits, failures of the API server and restarts: after quiet nothing is held twice, nobody waits without need,
//! and no status was written without need.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::ready};
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    client::ClientBuilder,
};
use lodestone_controller::{controller::Controller, core::Core, plan::OnPoolChange};
use lodestone_crds::{IPAddressPool, IpRange};
use lodestone_runtime::{
    clock,
    k8s::events::Events,
    readiness::Readiness,
    task::{Task, spawn},
};
use lodestone_tests::{Cluster, NAMESPACE};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use super::{block_on, cluster, config, layer::Faults};

/// How many sequences are tried, and how many steps each has.
const SEEDS: u64 = 12;
const STEPS: usize = 80;

/// How often the quiet cluster is looked at, a quarter of a second each, before what is wrong is a defect: longer than any retry waits.
const PATIENCE: usize = 400;

/// A controller of this process; it ends like one that is killed when this is dropped.
pub(super) struct Running {
    _tasks: [Task; 2],
    leads: watch::Sender<Option<Instant>>,
    _reviews: mpsc::Sender<lodestone_controller::webhook::server::Review>,
}

impl Running {
    /// Its Lease lasts until then.
    pub(super) fn works_until(&self, until: Instant) {
        self.leads.send_replace(Some(until));
    }
}

/// Starts a controller whose Lease lasts until then.
pub(super) fn start(client: &Client, until: Instant) -> Running {
    let (leads, leading) = watch::channel(None);
    let (questions, questions_received) = mpsc::channel(1);
    let (reviews, reviews_received) = mpsc::channel(1);
    let (events, sender) = Events::start(client.clone(), "lodestone-controller", None);
    let controller = Controller {
        client: client.clone(),
        namespace: NAMESPACE.to_owned(),
        class: String::new(),
        events,
        questions: questions_received,
        reviews: reviews_received,
        owner: ready(None).boxed().shared(),
        ready: Readiness::default().gate("everything"),
        leads: leading,
    };
    let task = spawn(async move {
        // Nobody asks.
        let _questions = questions;
        controller.run(Core::new(OnPoolChange::Retain)).await;
    });
    let running = Running {
        _tasks: [task, sender],
        leads,
        _reviews: reviews,
    };
    running.works_until(until);
    running
}

/// What a user does at random.
struct User {
    random: StdRng,
    services: Api<Service>,
    pools: Api<IPAddressPool>,
    namespaces: Api<Namespace>,
    namespace: String,
}

const POOLS: [&str; 3] = ["p0", "p1", "p2"];

impl User {
    async fn step(&mut self) {
        let name = format!("s{}", self.random.random_range(0..10));
        let dice = self.random.random_range(0..100);
        match dice {
            0..45 => self.apply_service(&name).await,
            45..55 => drop(self.services.delete(&name, &DeleteParams::default()).await),
            55..63 => {
                let type_ = if self.random.random_bool(0.5) {
                    "ClusterIP"
                } else {
                    "LoadBalancer"
                };
                let patch = json!({"spec": {"type": type_}});
                drop(
                    self.services
                        .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
                        .await,
                );
            }
            63..70 => {
                // An administrator's hand.
                let ip = self.address();
                let patch = json!({"status": {"loadBalancer": {"ingress": [{"ip": ip}]}}});
                drop(
                    self.services
                        .patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
                        .await,
                );
            }
            70..88 => self.apply_pool().await,
            88..94 => {
                let pool = POOLS[self.random.random_range(0..POOLS.len())];
                drop(self.pools.delete(pool, &DeleteParams::default()).await);
            }
            _ => {
                let labels = json!({"metadata": {"labels": {"round": dice.to_string()}}});
                drop(
                    self.namespaces
                        .patch(&self.namespace, &PatchParams::default(), &Patch::Merge(labels))
                        .await,
                );
            }
        }
    }

    fn address(&mut self) -> String {
        format!(
            "10.7.{}.{}",
            self.random.random_range(0..3),
            self.random.random_range(0..4)
        )
    }

    async fn apply_service(&mut self, name: &str) {
        let mut annotations = json!({"metallb.io/allow-shared-ip": null, "metallb.io/loadBalancerIPs": null});
        if self.random.random_bool(0.4) {
            annotations["metallb.io/allow-shared-ip"] = ["j", "k"][self.random.random_range(0..2)].into();
        }
        if self.random.random_bool(0.3) {
            annotations["metallb.io/loadBalancerIPs"] = self.address().into();
        }
        let ports = json!([{"port": self.random.random_range(80..83)}]);
        let object = json!({
            "metadata": {"name": name, "annotations": annotations}, "spec": {"type": "LoadBalancer", "ports": ports},
        });
        if self
            .services
            .patch(name, &PatchParams::default(), &Patch::Merge(&object))
            .await
            .is_err()
        {
            let mut object = object;
            object["metadata"]["annotations"]
                .as_object_mut()
                .unwrap()
                .retain(|_, value| !value.is_null());
            drop(
                self.services
                    .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
                    .await,
            );
        }
    }

    async fn apply_pool(&mut self) {
        let index = self.random.random_range(0..POOLS.len());
        let last = self.random.random_range(0..4);
        let object = json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": POOLS[index]},
            "spec": {"addresses": [format!("10.7.{index}.0-10.7.{index}.{last}")]},
        });
        let pool: IPAddressPool = serde_json::from_value(object.clone()).unwrap();
        if self.pools.create(&PostParams::default(), &pool).await.is_err() {
            drop(
                self.pools
                    .patch(POOLS[index], &PatchParams::default(), &Patch::Merge(object))
                    .await,
            );
        }
    }
}

/// A Service as a naive observer sees it.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    has: Option<Ipv4Addr>,
    asks: Option<String>,
    key: Option<String>,
    ports: BTreeSet<i32>,
}

fn seen(service: &Service) -> Option<Seen> {
    let spec = service.spec.as_ref()?;
    (spec.type_.as_deref() == Some("LoadBalancer")).then(|| Seen {
        name: service.name_any(),
        has: service.status.as_ref().and_then(|status| {
            status
                .load_balancer
                .as_ref()?
                .ingress
                .as_ref()?
                .first()?
                .ip
                .as_ref()?
                .parse()
                .ok()
        }),
        asks: service.annotations().get("metallb.io/loadBalancerIPs").cloned(),
        key: service.annotations().get("metallb.io/allow-shared-ip").cloned(),
        ports: spec.ports.iter().flatten().map(|port| port.port).collect(),
    })
}

fn may_share(a: &Seen, b: &Seen) -> bool {
    a.key.is_some() && a.key == b.key && a.ports.is_disjoint(&b.ports)
}

/// What is wrong with a quiet cluster.
fn wrong(services: &[Seen], pools: &[IPAddressPool]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut holders: BTreeMap<Ipv4Addr, Vec<&Seen>> = BTreeMap::new();
    for service in services {
        if let Some(address) = service.has {
            holders.entry(address).or_default().push(service);
        }
    }
    for (address, holders) in &holders {
        for (index, one) in holders.iter().enumerate() {
            for other in holders.iter().skip(index + 1).filter(|other| !may_share(one, other)) {
                wrong.push(format!("{address} is held by {} and {}", one.name, other.name));
            }
        }
    }
    let ranges: Vec<IpRange> = pools
        .iter()
        .flat_map(|pool| &pool.spec.addresses)
        .map(|text| text.parse().unwrap())
        .collect();
    let free_for = |service: &Seen, address: Ipv4Addr| {
        let others = holders
            .get(&address)
            .into_iter()
            .flatten()
            .filter(|other| other.name != service.name);
        ranges.iter().any(|range| range.contains(address.into()))
            && others.into_iter().all(|other| may_share(service, other))
    };
    let all = (0..3).flat_map(|third| (0..4).map(move |fourth| Ipv4Addr::new(10, 7, third, fourth)));
    for service in services {
        match &service.asks {
            Some(asked) => {
                let address: Ipv4Addr = asked.parse().unwrap();
                if service.has != Some(address) && free_for(service, address) {
                    wrong.push(format!(
                        "{} asks for {address}, which it could have, and has {:?}",
                        service.name, service.has
                    ));
                }
            }
            None if service.has.is_none() => {
                if let Some(address) = all.clone().find(|address| free_for(service, *address)) {
                    wrong.push(format!("{} has none and could have {address}", service.name));
                }
            }
            None => {}
        }
    }
    wrong
}

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
    let for_ever = clock::now() + Duration::from_secs(3600);
    let mut controller = start(&faulty, for_ever);
    for _ in 0..STEPS {
        user.step().await;
        if user.random.random_bool(0.06) {
            drop(controller);
            controller = start(&faulty, for_ever);
        }
        let pause = user.random.random_range(0..25);
        sleep(Duration::from_millis(pause)).await;
    }
    faults.stop();
    let mut last = (Vec::new(), Vec::new());
    for round in 0.. {
        let now: Vec<Service> = services.list(&ListParams::default()).await.unwrap().items;
        let seen: Vec<Seen> = now.iter().filter_map(seen).collect();
        let wrong = wrong(&seen, &pools.list(&ListParams::default()).await.unwrap().items);
        let versions: Vec<Value> = now
            .iter()
            .map(|service| json!([service.name_any(), service.resource_version()]))
            .collect();
        let quiet = last == (wrong.clone(), versions.clone());
        if quiet && wrong.is_empty() {
            break;
        }
        assert!(round < PATIENCE, "seed {seed}: {wrong:?} in {seen:?}");
        last = (wrong, versions);
        // Long enough for whatever is still under way to show itself as another version.
        sleep(Duration::from_millis(250)).await;
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

/// One seed alone: `LODESTONE_SEED=7 make e2e ONLY=p7_whatever`; more of them: `LODESTONE_SEEDS=100`.
#[test]
fn p7_whatever_fails_nothing_is_held_twice_nobody_waits_and_nothing_is_written_without_need() {
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
