//! Random sequences of edits, failed requests and restarts, by seed. When all is quiet again, no
//! address is held twice, no Service waits in vain, and no status has been written needlessly.

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
use lodestone_daemon::{
    clock,
    events::Events,
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

use super::{block_on, cluster, config, fault_injection::Faults};

/// The number of sequences, unless the environment sets it.
const SEEDS: u64 = 12;

/// The number of steps of each sequence.
const STEPS: usize = 80;

/// How long two looks at the quiet cluster are apart.
const PAUSE: Duration = Duration::from_millis(250);

/// How many looks a fault may survive before it is a defect: longer than any retry waits.
const PATIENCE: usize = 400;

/// A controller in this process. Dropping it is like killing a process.
pub(super) struct RunningController {
    _tasks: [Task; 2],
    leads: watch::Sender<Option<Instant>>,
    _reviews: mpsc::Sender<lodestone_controller::webhook::server::Review>,
}

impl RunningController {
    /// Makes its Lease last until then.
    pub(super) fn lead_until(&self, until: Instant) {
        self.leads.send_replace(Some(until));
    }
}

/// Starts a controller whose Lease lasts until then.
pub(super) fn start(client: &Client, until: Instant) -> RunningController {
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
        // Keeps the channel open, on which no question arrives.
        let _questions = questions;
        controller.run(Core::new(OnPoolChange::Retain)).await;
    });
    let running = RunningController {
        _tasks: [task, sender],
        leads,
        _reviews: reviews,
    };
    running.lead_until(until);
    running
}

/// A user who edits objects at random.
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
                // An administrator edits a status.
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

/// What a naive observer sees of a Service of type LoadBalancer.
#[derive(Clone, Debug)]
struct ObservedService {
    name: String,
    has: Option<Ipv4Addr>,
    asks: Option<String>,
    key: Option<String>,
    ports: BTreeSet<i32>,
}

fn observe(service: &Service) -> Option<ObservedService> {
    let spec = service.spec.as_ref()?;
    (spec.type_.as_deref() == Some("LoadBalancer")).then(|| ObservedService {
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

fn may_share(a: &ObservedService, b: &ObservedService) -> bool {
    a.key.is_some() && a.key == b.key && a.ports.is_disjoint(&b.ports)
}

/// Finds violations in a quiet cluster.
fn violations(services: &[ObservedService], pools: &[IPAddressPool]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut holders: BTreeMap<Ipv4Addr, Vec<&ObservedService>> = BTreeMap::new();
    for service in services {
        if let Some(address) = service.has {
            holders.entry(address).or_default().push(service);
        }
    }
    for (address, holders) in &holders {
        for (index, one) in holders.iter().enumerate() {
            for other in holders.iter().skip(index + 1).filter(|other| !may_share(one, other)) {
                violations.push(format!("{address} is held by {} and {}", one.name, other.name));
            }
        }
    }
    let ranges: Vec<IpRange> = pools
        .iter()
        .flat_map(|pool| &pool.spec.addresses)
        .map(|text| text.parse().unwrap())
        .collect();
    let free_for = |service: &ObservedService, address: Ipv4Addr| {
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
                    violations.push(format!(
                        "{} requests {address}, which is free, and has {:?}",
                        service.name, service.has
                    ));
                }
            }
            None if service.has.is_none() => {
                if let Some(address) = all.clone().find(|address| free_for(service, *address)) {
                    violations.push(format!("{} waits although {address} is free", service.name));
                }
            }
            None => {}
        }
    }
    violations
}

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
        let seen: Vec<ObservedService> = now.iter().filter_map(observe).collect();
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
