//! Deputies that are not eligible to own the address themselves.

use serde_json::json;

use super::*;
use crate::testing::config;

/// Longer than a speaker may be down while another node could take its addresses.
const LONG: Duration = Duration::from_secs(90);

/// A cluster in which only `b` is eligible, and owns the address.
struct Only {
    world: VirtualCluster,
    owner: NodeName,
}

/// Makes `b` the only node that may own the address.
type Restriction = fn(&mut ClusterSnapshot);

/// Traffic policy Local and one endpoint.
fn local(snapshot: &mut ClusterSnapshot) {
    *snapshot = with_local_endpoints(snapshot, &[&"b".into()]);
}

/// An advertisement that selects one node.
fn selected(snapshot: &mut ClusterSnapshot) {
    let node = snapshot.nodes.get_mut("b").unwrap();
    node.labels.insert("name".to_owned(), "b".to_owned());
    let selector = json!({"nodeSelectors": [{"matchLabels": {"name": "b"}}]});
    snapshot.config = Arc::new(config(&[selector]));
}

impl Only {
    fn new(restrict: Restriction) -> Self {
        let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
        world.kernels = world.snapshot.nodes.keys().cloned().collect();
        restrict(&mut world.snapshot);
        world.restart_all();
        world.run(seconds(3));
        let owner = world.owner(ADDRESS);
        assert_eq!(owner, "b".into());
        Self { world, owner }
    }

    /// The MACs that answer for the address at any time from now on.
    fn watch(&mut self, time: Duration) -> BTreeSet<Option<MacAddr>> {
        let end = self.world.now + time;
        let mut seen = BTreeSet::new();
        while self.world.now < end {
            self.world.run(STEP);
            let macs = self.world.macs(ADDRESS);
            seen.extend(macs.iter().copied().map(Some));
            seen.extend(macs.is_empty().then_some(None));
        }
        seen
    }

    /// Asserts that only the MAC of the owner answers, and always.
    fn assert_answered(&mut self, time: Duration) {
        let mac = self.world.mac(&self.owner);
        assert_eq!(self.watch(time), [Some(mac)].into());
    }

    /// Asserts that nobody answers.
    fn assert_unanswered(&mut self, time: Duration) {
        assert_eq!(self.watch(time), [None].into());
    }

    /// Begins to shut the owner's speaker down, and ends it as soon as it may stop.
    fn shut_down(&mut self) {
        let now = self.world.now;
        self.world.speaker(&self.owner).begin_shutdown(now);
        self.assert_answered(STEP * 3);
        assert!(self.world.speaker(&self.owner).may_stop());
        self.world.kill(&self.owner);
    }
}

#[test]
fn p2_deputy_covers_the_only_eligible_node_while_its_speaker_restarts() {
    for restrict in [local as Restriction, selected] {
        let mut only = Only::new(restrict);
        only.shut_down();
        only.assert_answered(LONG);
        let owner = only.owner.clone();
        only.world.start(&owner);
        only.assert_answered(seconds(5));
        assert_eq!(only.world.owner(ADDRESS), owner);
    }
}

#[test]
fn p2_deputy_covers_the_only_eligible_node_after_a_crash() {
    for restrict in [local as Restriction, selected] {
        let mut only = Only::new(restrict);
        let owner = only.owner.clone();
        only.world.kill(&owner);
        only.world.run(HEARTBEAT_INTERVAL * 2);
        only.assert_answered(LONG);
        only.world.start(&owner);
        only.assert_answered(seconds(5));
        assert_eq!(only.world.owner(ADDRESS), owner);
    }
}

#[test]
fn p2_deputy_covers_a_drained_node_if_no_other_is_eligible() {
    let mut only = Only::new(local);
    let owner = only.owner.clone();
    only.world.snapshot.nodes.get_mut(&owner).unwrap().draining = true;
    only.world.publish_snapshot();
    only.shut_down();
    only.assert_answered(LONG);
}

#[test]
fn p1_no_deputy_answers_for_a_node_that_is_down() {
    let mut only = Only::new(local);
    let owner = only.owner.clone();
    only.world.kernels.remove(&owner);
    only.world.kill(&owner);
    only.world.run(seconds(1));
    only.assert_unanswered(LONG);
    // The node is back, without its speaker.
    only.world.kernels.insert(owner.clone());
    only.world.run(seconds(1));
    only.assert_answered(seconds(5));
    only.world.start(&owner);
    only.assert_answered(seconds(5));
    assert_eq!(only.world.owner(ADDRESS), owner);
}

#[test]
fn p1_address_follows_the_only_endpoint_while_a_deputy_answers() {
    let mut only = Only::new(local);
    only.shut_down();
    only.world.snapshot = with_local_endpoints(&only.world.snapshot, &[]);
    only.world.publish_snapshot();
    only.assert_unanswered(seconds(5));
    only.world.snapshot = with_local_endpoints(&only.world.snapshot, &[&"c".into()]);
    only.world.publish_snapshot();
    only.world.run(STEP);
    only.owner = "c".into();
    only.assert_answered(seconds(5));
}

#[test]
fn p1_newly_eligible_node_takes_over_from_a_speaker_down_for_long() {
    let mut only = Only::new(local);
    only.shut_down();
    only.assert_answered(LONG);
    let nodes = ["b".into(), "c".into()];
    only.world.snapshot = with_local_endpoints(&only.world.snapshot, &[&nodes[0], &nodes[1]]);
    only.world.publish_snapshot();
    only.world.run(STEP);
    only.owner = "c".into();
    only.assert_answered(seconds(5));
}
