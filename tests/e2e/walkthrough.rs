//! Installation, the quickstart, and Services of every kind, in the order a new user meets them.
//! Then bad input, restarts and failures, and IPv6.
//!
//! kube-proxy runs in nftables mode here. The tests that send packets through it also run in
//! iptables mode, in [`crate::walkthrough_iptables`].
//!
//! Each test has its own namespace. All leave Lodestone installed and the quickstart applied.

mod configuration;
mod install;
pub(crate) mod ipv6;
pub(crate) mod quickstart;
pub(crate) mod resilience;
pub(crate) mod services;
mod start_up;

use lodestone_tests::{Cluster, ProxyMode, ServerAnswer, Spec, images, wait_for};
use serde_json::{Value, json};

use crate::support::{LIMIT, SharedCluster, TestNamespace, client, merge};

/// Defines the tests that send packets through kube-proxy, on a cluster with this mode of it.
macro_rules! through_kube_proxy {
    ($mode:expr) => {
        fn cluster() -> crate::support::SharedCluster {
            crate::walkthrough::shared_cluster($mode)
        }

        crate::support::cluster_tests! { cluster, crate::walkthrough;
            quickstart::{
                host_on_the_lan_gets_answers_from_all_three_pods,
                neighbour_table_and_the_status_agree_on_the_owner,
                cluster_ip_of_the_service_works_from_a_pod,
                node_ports_of_the_services_work_on_every_node,
            }
            services::{
                without_a_request_an_address_of_the_pool_is_chosen,
                hand_made_endpoints_of_a_service_without_selector_work,
                hand_made_endpoint_slices_of_a_service_without_selector_work,
                udp_is_answered_from_the_requested_address,
                with_traffic_policy_local_a_node_with_a_pod_answers,
            }
            resilience::{
                p2_killed_speaker_keeps_its_address_and_mac,
                p2_deputy_answers_with_the_mac_of_a_frozen_speaker,
                p2_rolling_restart_of_the_speakers_moves_nothing,
                p2_deputy_covers_the_only_local_endpoint_throughout,
                p6_addresses_are_answered_without_the_api_server,
            }
            ipv6::{
                ipv6_address_is_found_by_neighbor_discovery,
                dual_stack_service_answers_at_both_addresses,
                duplicate_address_detection_of_another_host_finds_the_address,
                restarted_speaker_answers_for_its_ipv6_addresses_again,
            }
        }
    };
}
pub(crate) use through_kube_proxy;

through_kube_proxy!(ProxyMode::Nftables);

/// A control-plane node and three workers, with Lodestone and the quickstart.
pub(crate) fn shared_cluster(mode: ProxyMode) -> SharedCluster {
    let spec = Spec::unique("t").proxy_mode(mode).images(images().unwrap());
    SharedCluster::get(spec, |cluster| {
        cluster.install_lodestone(&[]).unwrap();
        cluster.apply_quickstart().unwrap();
    })
}

/// What the tests of the walkthrough do in their namespaces.
impl TestNamespace<'_> {
    /// Deploys pods of the test server, which know their node, and waits until they are ready.
    fn deploy(&self, name: &str, replicas: u8) {
        let node_name = json!({"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}});
        let container = json!({
            "name": "server", "image": "nginx:1.29", "env": [node_name],
            "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1},
        });
        self.apply(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
                },
            },
        }));
        self.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=60s"]);
    }

    /// Applies a Service of type LoadBalancer for the pods `app`, with more fields in its `spec`.
    fn balance(&self, name: &str, app: &str, spec: &Value) {
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": "LoadBalancer", "selector": {"app": app}, "ports": [{"name": "http", "port": 80}]},
        });
        merge(&mut service["spec"], spec);
        self.apply(&service);
    }

    /// Waits until a Service has an address, and returns it.
    fn address(&self, service: &str) -> String {
        self.cluster.address_of(&self.name, service).unwrap()
    }
}

/// The node whose interface on the LAN has this MAC.
fn node_of(cluster: &Cluster, mac: &str) -> String {
    let nodes = cluster.spec().nodes();
    let has = |node: &String| cluster.host(node).mac(cluster.lan_interface()).unwrap() == mac;
    nodes
        .into_iter()
        .find(has)
        .unwrap_or_else(|| panic!("no node has {mac}"))
}

/// Waits until a node answers for an address, and returns it. Asserts that no other node does.
fn owner(cluster: &Cluster, address: &str) -> String {
    let macs = wait_for(&format!("an answer for {address}"), LIMIT, || {
        Ok(Some(client(cluster).who_has(address)?).filter(|macs| !macs.is_empty()))
    });
    let macs: Vec<String> = macs.unwrap().into_iter().collect();
    assert_eq!(macs.len(), 1, "several nodes answer for {address}: {macs:?}");
    node_of(cluster, &macs[0])
}

/// Waits until the test server answers the host on the LAN, and returns the answer. kube-proxy may
/// learn of a Service later than the speaker.
fn answer(cluster: &Cluster, address: &str) -> ServerAnswer {
    wait_for(&format!("an answer from http://{address}"), LIMIT, || {
        client(cluster).http(address, 80).map(Some)
    })
    .unwrap()
}
