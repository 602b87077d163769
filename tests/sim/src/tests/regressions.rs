//! Scenarios in which a random seed once found a defect of the speaker.
//!
//! Each is written out in full, so that a change of the random scenarios leaves it as it is. The
//! seed of its [`WorldSpec`] chooses only the fate and the latency of each packet.

use std::time::Duration;

use lodestone_speaker_core::{DeputyMode, OwnershipMode, Settings};

use super::{SETTLED, spec};
use crate::{Invariants, LinkConditions, World, WorldSpec};

/// The outage limit where promise P1 does not apply: during loss and partitions.
const RELAXED_OUTAGE: Duration = Duration::from_millis(1000);

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A world and the checks that run with it.
struct Regression {
    world: World,
    invariants: Invariants,
}

impl Regression {
    /// Starts a world whose networks have this jitter, and lets it settle.
    fn start(spec: WorldSpec, jitter: Duration) -> Self {
        let mut world = World::new(spec);
        world.set_conditions(LinkConditions {
            jitter,
            ..LinkConditions::default()
        });
        let mut invariants = Invariants::new(world.now);
        invariants.watch(&mut world, SETTLED);
        invariants.check_settled(&mut world);
        Self { world, invariants }
    }

    fn watch(&mut self, time: Duration) {
        self.invariants.watch(&mut self.world, time);
    }

    /// Begins a fault of a node, whose addresses may then move.
    fn begin_fault(&mut self, node: usize) {
        self.invariants.note_disturbance(self.world.now);
        self.invariants.note_impaired(self.world.now, node);
    }

    /// Ends a fault, and checks the owners after a pause.
    fn end_fault(&mut self, pause: Duration) {
        self.invariants.note_disturbance(self.world.now);
        self.watch(pause);
        self.invariants.check_settled(&mut self.world);
    }

    /// Shuts the speaker of a node down, kills it after `grace`, and starts it after `away`.
    fn restart(&mut self, node: usize, grace: Duration, away: Duration) {
        self.world.begin_shutdown(node);
        self.watch(grace);
        self.world.kill(node);
        self.watch(away);
        self.world.start(node);
    }

    /// Loses this share of all packets for `time`, and duplicates some.
    fn lose_packets(&mut self, loss: f64, time: Duration) {
        let before = self.world.lan;
        self.invariants.max_outage = RELAXED_OUTAGE;
        self.world.set_conditions(LinkConditions {
            loss,
            duplicates: 0.05,
            ..before
        });
        self.watch(time);
        self.world.set_conditions(before);
    }

    /// Separates these nodes from the others, on both networks. The client is on their side if
    /// `with_client` is true.
    fn partition(&mut self, nodes: &[usize], with_client: bool, time: Duration) {
        self.invariants.max_outage = RELAXED_OUTAGE;
        self.set_part(nodes, 1);
        self.world.client.lan_part = u8::from(with_client);
        self.watch(time);
        self.set_part(nodes, 0);
        self.world.client.lan_part = 0;
        // Every node was cut off from some of the others.
        for node in 0..self.world.nodes.len() {
            self.invariants.note_impaired(self.world.now, node);
        }
    }

    fn set_part(&mut self, nodes: &[usize], part: u8) {
        for node in nodes {
            self.world.nodes[*node].lan_part = part;
            self.world.nodes[*node].node_network_part = part;
        }
    }

    /// Removes the Service of the first address for `time`. The node does not see the API server
    /// meanwhile, and learns of the Service's return late.
    fn delay_snapshot(&mut self, node: usize, time: Duration) {
        let removed = self.world.snapshot.addresses.pop_first();
        self.world.nodes[node].sees_api = false;
        self.world.publish_snapshot();
        self.watch(time);
        self.world.snapshot.addresses.extend(removed);
        self.world.publish_snapshot();
        self.world.nodes[node].sees_api = true;
        self.invariants.note_disturbance(self.world.now);
        self.watch(millis(700));
        self.world.publish_snapshot();
    }

    /// Asserts that no invariant was broken, and that each address has one owner in the end.
    fn assert_passed(mut self) {
        self.watch(Duration::from_secs(3));
        self.invariants.conclude(&mut self.world);
        let violations = self.invariants.violations();
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

/// When the two halves of a cluster joined, a deputy that always answers did not learn that the
/// owner had yielded. It went on to answer with the MAC of that owner.
///
/// The former owner now relays the new claim, and the new owner broadcasts it again. The scenario
/// also passes without both, because the speakers have changed since. So it proves no promise.
#[test]
fn always_on_deputy_learns_after_a_partition_that_the_owner_yielded() {
    let settings = Settings {
        deputy: DeputyMode::Always,
        ownership: OwnershipMode::Hash,
        ..Settings::default()
    };
    let spec = WorldSpec {
        split: true,
        settings,
        ..spec(27, 3, 66_200)
    };
    let mut regression = Regression::start(spec, Duration::from_micros(2675));
    regression.begin_fault(3);
    regression.restart(3, millis(263), millis(1826));
    regression.end_fault(millis(2732));
    regression.begin_fault(23);
    regression.partition(&[0, 4, 6, 8, 10, 12, 14, 16, 20, 24, 25, 26], false, millis(2642));
    regression.end_fault(millis(4502));
    regression.begin_fault(23);
    regression.delay_snapshot(23, millis(2000));
    regression.end_fault(millis(2201));
    regression.assert_passed();
}

/// The claim of a new owner was lost on its way to the former owner. Both announced the address
/// until the next anti-entropy resync.
#[test]
fn p5_claim_lost_on_its_way_to_the_former_owner_is_sent_again() {
    let settings = Settings {
        ownership: OwnershipMode::Hash,
        ..Settings::default()
    };
    let spec = WorldSpec {
        split: true,
        settings,
        ..spec(2, 1, 66_481)
    };
    let mut regression = Regression::start(spec, Duration::from_micros(1614));
    regression.begin_fault(0);
    regression.world.stall(0, millis(352));
    regression.watch(millis(5017));
    regression.end_fault(millis(3808));
    regression.begin_fault(0);
    regression.lose_packets(0.297_601_430_010_712_54, millis(2850));
    regression.end_fault(millis(3685));
    regression.begin_fault(0);
    regression.restart(0, millis(279), millis(5582));
    regression.end_fault(millis(2330));
    regression.assert_passed();
}

/// Heavy loss looked like a speaker that is down on a node that answers. Without deputies the
/// addresses of that speaker moved at once, although it was alive.
#[test]
fn p5_heavy_loss_is_not_mistaken_for_a_speaker_that_is_down() {
    let settings = Settings {
        deputy: DeputyMode::Off,
        ..Settings::default()
    };
    let spec = WorldSpec {
        settings,
        ..spec(6, 5, 75_364)
    };
    let mut regression = Regression::start(spec, Duration::from_micros(2212));
    regression.begin_fault(3);
    regression.lose_packets(0.287_786_391_689_709_04, millis(3149));
    regression.end_fault(millis(2558));
    regression.begin_fault(0);
    regression.world.nodes[0].mute = true;
    regression.watch(millis(1820));
    regression.world.nodes[0].mute = false;
    regression.end_fault(millis(2293));
    regression.begin_fault(0);
    regression.partition(&[0, 4, 5], true, millis(4507));
    regression.end_fault(millis(2262));
    regression.assert_passed();
}
