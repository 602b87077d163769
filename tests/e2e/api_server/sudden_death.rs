//! The controller is killed a hundred times at random moments while Services come and go.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Child, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    runtime::watcher,
};
use lodestone_runtime::task::spawn;
use lodestone_tests::{NAMESPACE, checkout};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::time::sleep;

use super::{block_on, cluster, config, pod_credentials::PodCredentials};

/// How many times the controller is killed.
const KILLS: usize = 100;

/// How many tasks create and delete Services at the same time.
const WRITERS: u64 = 4;

/// How many Services of one writer exist at a time.
const ALIVE: usize = 12;

/// The addresses of the Services, and every violation, in the order of the watch.
#[derive(Default)]
struct Ledger {
    /// The address of each Service.
    addresses: BTreeMap<String, String>,
    /// How many addresses were assigned.
    assigned: usize,
    violations: Vec<String>,
}

/// The address in the status of a Service.
fn address(service: &Service) -> Option<String> {
    let status = service.status.as_ref()?;
    status.load_balancer.as_ref()?.ingress.as_ref()?.first()?.ip.clone()
}

impl Ledger {
    fn applied(&mut self, service: &Service) {
        let (name, old) = (service.name_any(), self.addresses.get(&service.name_any()).cloned());
        let new = address(service);
        match (old, new) {
            (Some(old), new) if new.as_ref() != Some(&old) => {
                self.violations.push(format!("{name} had {old} and has {new:?}"))
            }
            (None, Some(new)) => {
                if let Some((other, _)) = self.addresses.iter().find(|(_, address)| **address == new) {
                    self.violations.push(format!("{name} got {new}, which {other} has"));
                }
                self.assigned += 1;
                self.addresses.insert(name, new);
            }
            _ => {}
        }
    }
}

/// Starts the controller that `make images` has built.
fn start(credentials: &PodCredentials) -> Child {
    let binary: PathBuf = checkout().join(format!(
        "target/{}-unknown-linux-gnu/release/controller",
        std::env::consts::ARCH
    ));
    assert!(binary.exists(), "{} is missing: run `make images`", binary.display());
    credentials
        .command(binary.to_str().unwrap())
        // Every process has the name of the pod, like the restarted containers of a pod.
        .env("METALLB_POD_NAME", "the-pod")
        .args([
            "--namespace",
            NAMESPACE,
            "--webhook-mode=disabled",
            "--port=0",
            "--health-probe-port=0",
            "--log-level=error",
        ])
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn p7_100_kills_under_load_neither_lose_nor_double_an_address() {
    let cluster = cluster();
    let pool = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "death", "namespace": NAMESPACE},
        "spec": {"addresses": ["10.8.0.0/26"]},
    });
    cluster.apply(&pool.to_string()).unwrap();
    cluster.kubectl(&["create", "namespace", "death"]).unwrap();
    block_on(async {
        let client = Client::try_from(config(&cluster).await).unwrap();
        let api: Api<Service> = Api::namespaced(client, "death");
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let _watch = spawn(keep_ledger(api.clone(), Arc::clone(&ledger)));
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers: Vec<_> = (0..WRITERS)
            .map(|index| spawn(write_services(api.clone(), index, Arc::clone(&stop))))
            .collect();
        let mut random = StdRng::seed_from_u64(7);
        let credentials = PodCredentials::create(&cluster, "death");
        let mut process = start(&credentials);
        for _ in 0..KILLS {
            sleep(Duration::from_millis(random.random_range(20..500))).await;
            process.kill().unwrap();
            process.wait().unwrap();
            process = start(&credentials);
        }
        stop.store(true, Ordering::Relaxed);
        for writer in &mut writers {
            writer.join().await;
        }
        let mut rounds = 0;
        while any_waits(&api).await {
            rounds += 1;
            assert!(rounds < 240, "a Service waits although addresses are free");
            sleep(Duration::from_millis(250)).await;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        let ledger = ledger.lock().unwrap();
        assert_eq!(ledger.violations, [""; 0]);
        println!("{} addresses were assigned during {KILLS} kills", ledger.assigned);
        assert!(
            ledger.assigned > KILLS,
            "only {} addresses were assigned: too few to show anything",
            ledger.assigned
        );
    });
    cluster.kubectl(&["delete", "clusterrolebinding", "death"]).unwrap();
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "serviceaccount", "death"])
        .unwrap();
    cluster
        .kubectl(&["delete", "namespace", "death", "--wait=false"])
        .unwrap();
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "ipaddresspool", "death"])
        .unwrap();
}

/// Whether some Service has no address.
async fn any_waits(api: &Api<Service>) -> bool {
    let services = api.list(&ListParams::default()).await.unwrap();
    services.items.iter().any(|service| address(service).is_none())
}

/// Keeps the ledger by a watch of the Services.
async fn keep_ledger(api: Api<Service>, ledger: Arc<Mutex<Ledger>>) {
    let mut events = watcher(api, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        let mut ledger = ledger.lock().unwrap();
        match event.unwrap() {
            watcher::Event::Apply(service) | watcher::Event::InitApply(service) => ledger.applied(&service),
            watcher::Event::Delete(service) => {
                ledger.addresses.remove(&service.name_any());
            }
            watcher::Event::Init | watcher::Event::InitDone => {}
        }
    }
}

/// Creates Services and deletes the oldest ones, until `stop` is set.
async fn write_services(api: Api<Service>, index: u64, stop: Arc<AtomicBool>) {
    let mut random = StdRng::seed_from_u64(index);
    for number in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("s{index}-{number}");
        let object = json!({"metadata": {"name": name}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap())
            .await
            .unwrap();
        if let Some(oldest) = number.checked_sub(ALIVE) {
            api.delete(&format!("s{index}-{oldest}"), &DeleteParams::default())
                .await
                .unwrap();
        }
        sleep(Duration::from_millis(random.random_range(0..40))).await;
    }
}
