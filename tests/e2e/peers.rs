//! Five workers in one network: attackers on the network of the speakers, nodes that fail and
//! return, and a network that is partitioned.

mod attackers;
mod conflicts;
mod nodes;
mod vlan_tags;

use std::time::Duration;

use lodestone_tests::{AnnouncedService, Cluster, Spec, images, wait_until};

use crate::support::{LIMIT, SharedCluster, assert_owners_stay, speaker_metrics};

/// How long a test observes that nothing happens: many times what the speakers need to notice that
/// a node has failed.
const WINDOW: Duration = Duration::from_secs(8);

/// How many times a test asks for an IPv4 address during that time. Each request takes a second.
const REQUESTS: usize = 8;

fn cluster() -> SharedCluster {
    let spec = Spec::unique("p").workers(5).clients(2).images(images().unwrap());
    SharedCluster::get(spec, |cluster| {
        cluster.install_lodestone(&[]).unwrap();
        cluster.apply_ipv6_pool().unwrap();
        // The tests power nodes off and partition the network; the node with the API server must
        // not be affected, so it owns no address.
        let exclude = "node.kubernetes.io/exclude-from-external-load-balancers=";
        cluster.kubectl(&["label", "node", "cp", exclude]).unwrap();
        cluster.apply_quickstart().unwrap();
    })
}

/// Asserts that `node` owns a Service and keeps it.
fn assert_owner(cluster: &Cluster, service: &AnnouncedService<'_>, node: &str) {
    assert_owners_stay(cluster, &[(service, node)], WINDOW);
}

/// Asserts that the first owners of the Services still own them, and keep them.
fn assert_nothing_moves(cluster: &Cluster, services: &[AnnouncedService<'_>]) {
    let owners: Vec<_> = services
        .iter()
        .map(|service| (service, service.owner.as_str()))
        .collect();
    assert_owners_stay(cluster, &owners, WINDOW);
}

/// The value of a metric of a speaker; `None` if it has no line that begins with `name`.
fn metric(cluster: &Cluster, node: &str, name: &str) -> Option<u64> {
    let text = speaker_metrics(cluster, node).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// Waits until every speaker hears every other speaker.
fn wait_until_all_are_heard(cluster: &Cluster) {
    let nodes = cluster.spec().nodes();
    wait_until("all speakers to hear each other", LIMIT, || {
        nodes.iter().all(|node| {
            let Ok(metrics) = speaker_metrics(cluster, node) else {
                return false;
            };
            let heard = |other: &String| {
                let line = format!("lodestone_speaker_peer_heard{{node=\"{other}\"}} 1");
                metrics.lines().any(|found| found == line)
            };
            nodes.iter().filter(|other| *other != node).all(heard)
        })
    })
    .unwrap();
}

/// Powers a node on, and waits until its speaker takes part again.
fn power_on(cluster: &Cluster, node: &str) {
    cluster.bring_back(node).unwrap();
    cluster.wait_for_lodestone().unwrap();
    wait_until_all_are_heard(cluster);
}
