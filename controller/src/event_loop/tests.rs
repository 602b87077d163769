use futures::{FutureExt, future::ready};
use kube::Config;
use lodestone_controller_core::OnPoolChange;
use lodestone_crds::{Labels, ObjectKey};
use lodestone_runtime::readiness::Readiness;
use serde_json::{Value, json};

use super::*;

/// A loop whose events the test makes. Its watches never begin.
struct Harness {
    event_loop: EventLoop,
    election: watch::Sender<Option<Leadership>>,
}

impl Harness {
    fn new() -> Self {
        let client = Client::try_from(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        let (leadership, election) = watch::channel(None);
        let connections = Connections {
            client: client.clone(),
            namespace: "lodestone".to_owned(),
            class: String::new(),
            events: Events::start(client, "test", None).0,
            queries: mpsc::channel(1).1,
            reviews: mpsc::channel(1).1,
            owner: ready(None).boxed().shared(),
            ready: Readiness::default().gate("everything"),
            election,
        };
        Self {
            event_loop: EventLoop::new(connections, Reconciler::new(OnPoolChange::Retain)),
            election: leadership,
        }
    }

    fn lead(&mut self, leadership: Option<Leadership>) {
        self.election.send_replace(leadership);
        self.event_loop.handle_event(LoopEvent::LeadershipChanged);
    }

    fn service(&mut self, change: ResourceChange<ServiceView>) {
        self.event_loop.handle_event(LoopEvent::ServiceChanged(change));
    }

    fn report(&mut self, report: WatchReport) {
        self.event_loop.handle_event(LoopEvent::WatchReported(report));
    }

    fn has_job(&mut self) -> bool {
        self.event_loop.reconciler.poll_job().is_some()
    }
}

fn applied(name: &str, status: &Value) -> ResourceChange<ServiceView> {
    let service = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": "1"},
        "spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"]},
        "status": status,
    });
    ResourceChange::Applied(ServiceView::new(&serde_json::from_value(service).unwrap(), ""))
}

fn term(term: u64) -> Option<Leadership> {
    let until = clock::now() + Duration::from_secs(3600);
    Some(Leadership { term, until })
}

#[tokio::test]
async fn p7_new_term_that_follows_a_term_at_once_starts_from_a_new_list() {
    let mut harness = Harness::new();
    let pool = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "p"},
        "spec": {"addresses": ["192.0.2.0/32"]},
    });
    let holder = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.0"}]}});
    harness.report(WatchReport::Pool(ResourceChange::Applied(
        serde_json::from_value(pool).unwrap(),
    )));
    let namespace = ResourceChange::Applied(("n".to_owned(), Labels::new()));
    harness.report(WatchReport::Namespace(namespace));
    harness.report(WatchReport::Pool(ResourceChange::Synced));
    harness.report(WatchReport::Namespace(ResourceChange::Synced));
    harness.report(WatchReport::L2Advertisement(ResourceChange::Synced));
    harness.lead(term(1));
    harness.service(applied("old", &holder));
    harness.service(applied("waiting", &json!({})));
    harness.service(ResourceChange::Synced);
    while harness.has_job() {}
    harness.lead(term(1));
    assert!(
        harness.event_loop.reconciler.is_synced(),
        "a renewal within the term lists nothing"
    );
    // In the term of another leader Service old was deleted, and Service new got its address. The
    // watch of this replica has reported only the first.
    harness.lead(term(2));
    harness.service(ResourceChange::Gone(ObjectKey::new("n", "old")));
    assert!(!harness.has_job(), "the old list shows a free address that is in use");
    harness.service(applied("new", &holder));
    harness.service(applied("waiting", &json!({})));
    harness.service(ResourceChange::Synced);
    while let Some(job) = harness.event_loop.reconciler.poll_job() {
        assert!(job.key.name() == "new" || job.status.ingress.is_empty(), "{job:?}");
    }
    harness.lead(None);
    assert!(!harness.has_job());
}
