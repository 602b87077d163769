//! What happens to the owners of two addresses, and what a host on the LAN may notice of it.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use lodestone_tests::{Cluster, Layout, NAMESPACE, wait_until};
use serde_json::json;

use crate::support::{DEPUTY_GAP, LIMIT, LanWatch, speaker_logs, watch_connections};

/// The client asks for this long after a step, so that a late silence or a late second answer
/// counts. It is many times what the speakers need.
const AFTER: Duration = Duration::from_secs(3);

/// How long two nodes may answer for an address.
const LONGEST_OVERLAP: Duration = Duration::from_millis(500);

/// The label of the node that [`Steps::prefer_another_node`] prefers.
const LABEL: &str = "lodestone-test/preferred";

/// A cluster, and a watch of two addresses on its LAN.
pub(super) struct Steps<'a> {
    cluster: &'a Cluster,
    watch: &'a LanWatch,
    /// One of the addresses. Clients connect to it.
    address: &'a str,
    layout: Layout,
}

impl<'a> Steps<'a> {
    pub(super) fn new(cluster: &'a Cluster, watch: &'a LanWatch, address: &'a str, layout: Layout) -> Self {
        watch.wait_for(Duration::ZERO);
        Self {
            cluster,
            watch,
            address,
            layout,
        }
    }

    /// P2: the deputies answer with the MACs of the owners.
    pub(super) fn kill_the_speakers_of_the_owners(&self) {
        for owner in self.owners() {
            let pod = self.cluster.pod_of("speaker", Some(&owner)).unwrap();
            let restarts = self.restarts(&pod);
            self.cluster.process_of_pod(NAMESPACE, &pod).unwrap().kill();
            wait_until("the speaker to start again", LIMIT, || self.restarts(&pod) != restarts).unwrap();
            self.cluster.wait_for_lodestone().unwrap();
        }
        self.assert_answered("killed speakers", DEPUTY_GAP, 1..=1);
    }

    /// P1: the owner loses the carrier of its first port, and has another one on the LAN.
    pub(super) fn pull_the_cable_of_the_first_port(&self) {
        for owner in self.owners() {
            let has_it = |macs: &BTreeSet<String>| self.nodes_with(macs).contains(&owner);
            let before = self.watch.last_macs();
            let macs: BTreeSet<String> = before.into_iter().filter(|mac| has_it(&[mac.clone()].into())).collect();
            self.cluster.set_carrier(&owner, false).unwrap();
            wait_until("other MACs in the answers", LIMIT, || {
                self.watch.last_macs().is_disjoint(&macs)
            })
            .unwrap();
            self.watch.wait_for_more(AFTER);
            for answers in self.watch.take_answers().into_values() {
                answers.assert_takeover(self.cluster);
                assert!(answers.macs.len() <= 2, "{answers:?}");
                assert!(answers.overlap() < LONGEST_OVERLAP, "{answers:?}");
            }
            self.cluster.set_carrier(&owner, true).unwrap();
            // The first port announces whenever it has a carrier.
            self.assert_answered("a cable that is plugged in again", DEPUTY_GAP, 1..=2);
        }
    }

    /// P4: the addresses move to a node that owned none. No attempt to connect fails.
    pub(super) fn prefer_another_node(&self) {
        let owners = self.owners();
        let node = self.workers().find(|node| !owners.contains(node)).unwrap();
        self.cluster
            .kubectl(&["label", "node", &node, &format!("{LABEL}=")])
            .unwrap();
        let preference = json!({"matchExpressions": [{"key": LABEL, "operator": "Exists"}]});
        let advertisement = json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement",
            "metadata": {"name": "preferred", "namespace": NAMESPACE},
            "spec": {"preferredNodeSelectors": [{"weight": 10, "preference": preference}]},
        });
        let connections = watch_connections(self.cluster, &[self.address], || {
            self.cluster.apply(&advertisement.to_string()).unwrap();
            wait_until("both addresses to move", LIMIT, || {
                self.owners() == BTreeSet::from([node.clone()])
            })
            .unwrap();
        });
        // Without a preference nothing moves back.
        let delete = ["-n", NAMESPACE, "delete", "l2advertisement", "preferred"];
        self.cluster.kubectl(&delete).unwrap();
        self.assert_answered("a planned move", DEPUTY_GAP, 2..=2);
        connections.assert_none_failed(self.cluster);
    }

    /// P1: the switch port of the owner stops forwarding, but the carrier stays. P3: nothing moves
    /// back when it forwards again.
    pub(super) fn stop_forwarding_to_the_owner(&self) {
        let owner = self.owners().pop_first().unwrap();
        let macs = self.watch.last_macs();
        self.cluster.set_forwarding(&owner, false).unwrap();
        wait_until("other MACs in the answers", LIMIT, || {
            self.watch.last_macs().is_disjoint(&macs)
        })
        .unwrap();
        self.assert_taken_over("a port that stops forwarding");
        self.cluster.set_forwarding(&owner, true).unwrap();
        // Where no other network tells it, the former owner does not know yet that it is not alone.
        let most = match self.layout {
            Layout::Split | Layout::Storage => 1,
            _ => 2,
        };
        self.assert_answered("a port that forwards again", DEPUTY_GAP, 1..=most);
        self.assert_answered("a port that goes on forwarding", DEPUTY_GAP, 1..=1);
    }

    /// P1 and P5: the owners are separated from the client and from the other nodes. After that,
    /// each address has one owner.
    pub(super) fn separate_the_owners(&self) {
        let owners = self.owners();
        let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
        let macs = self.watch.last_macs();
        self.cluster.partition(&owners).unwrap();
        wait_until("other MACs in the answers", LIMIT, || {
            self.watch.last_macs().is_disjoint(&macs)
        })
        .unwrap();
        self.assert_taken_over("a partition");
        self.cluster.end_partition(&owners).unwrap();
        self.assert_answered("the end of a partition", DEPUTY_GAP, 1..=2);
        self.assert_answered("one network again", DEPUTY_GAP, 1..=1);
    }

    /// Asserts that other owners answer themselves, in time.
    fn assert_taken_over(&self, step: &str) {
        self.watch.wait_for_more(AFTER);
        for (address, answers) in self.watch.take_answers() {
            eprintln!("{step}: {address}");
            answers.assert_takeover(self.cluster);
            assert_eq!(answers.macs.len(), 2, "{step}, {address}: {answers:?}");
            assert!(answers.overlap() < LONGEST_OVERLAP, "{step}, {address}: {answers:?}");
        }
    }

    /// Asserts how long nobody answered for an address since the last call, how many MACs answered,
    /// and how long two of them did.
    fn assert_answered(&self, step: &str, gap: Duration, macs: RangeInclusive<usize>) {
        self.watch.wait_for_more(AFTER);
        for (address, answers) in self.watch.take_answers() {
            let overlap = answers.overlap();
            eprintln!(
                "{step}: nobody answered for {address} for {:?}, two for {overlap:?}",
                answers.longest_gap
            );
            assert!(
                answers.longest_gap < gap && macs.contains(&answers.macs.len()) && overlap < LONGEST_OVERLAP,
                "{step}, {address}: {answers:?}, limit {gap:?}\n{}",
                speaker_logs(self.cluster)
            );
        }
    }

    /// The nodes that answered last.
    fn owners(&self) -> BTreeSet<String> {
        self.nodes_with(&self.watch.last_macs())
    }

    /// The nodes that have one of these MACs.
    fn nodes_with(&self, macs: &BTreeSet<String>) -> BTreeSet<String> {
        let has_one = |node: &String| {
            let links = self.cluster.host(node).ip(&["link"]).unwrap();
            macs.iter().any(|mac| links.contains(&format!("link/ether {mac} ")))
        };
        self.workers().filter(has_one).collect()
    }

    /// The nodes that may own an address.
    fn workers(&self) -> impl Iterator<Item = String> {
        self.cluster.spec().nodes().into_iter().filter(|node| node != "cp")
    }

    /// How often the container of a speaker has started again.
    fn restarts(&self, pod: &str) -> String {
        let path = "jsonpath={.status.containerStatuses[0].restartCount}";
        self.cluster
            .kubectl(&["-n", NAMESPACE, "get", "pod", pod, "-o", path])
            .unwrap()
    }
}
