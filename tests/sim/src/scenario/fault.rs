//! The faults of a scenario. Each injects itself, lets time pass, and repairs what it broke.

use std::time::Duration;

use lodestone_speaker_core::OwnershipMode;
use rand::RngExt;

use crate::link_conditions::LinkConditions;

use super::Scenario;

/// The outage limit where promise P1 does not apply.
const RELAXED_OUTAGE: Duration = Duration::from_millis(1000);

/// The outage limit while speakers start.
const COLD_START_OUTAGE: Duration = Duration::from_millis(1500);

/// The latest start of a speaker in a cold start, in milliseconds.
const LATEST_START: u64 = 15_000;

/// How long after the last start of a cold start the addresses are spread, at most, and how long
/// each takes.
const SPREADING: Duration = Duration::from_secs(13);
const SPREADING_PER_ADDRESS: Duration = Duration::from_millis(1500);

/// How long after it lost an address the first node by hash takes it over, at most.
const TAKEOVER_BY_HASH: Duration = Duration::from_secs(12);

/// How long it takes at most to announce a new address for which others probe.
const PROBING: Duration = Duration::from_secs(7);

/// How long a Service that flickers is there or not, in milliseconds. Longer than it takes until
/// every speaker has seen it, so that no speaker ends with an older snapshot.
const FLICKER: std::ops::Range<u64> = 60..500;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The speaker is killed, and later started.
    Kill,
    /// The speaker shuts down as on `SIGTERM`, and later starts.
    Restart,
    /// The speaker stops as by `SIGSTOP`, and later continues.
    Freeze,
    /// The node loses its power.
    PowerOff,
    /// The node's LAN interface loses its carrier.
    CarrierLoss,
    /// The LAN drops everything from and to the node, which keeps its carrier.
    LanCut,
    /// The node network drops everything from and to the node.
    NodeNetworkCut,
    /// Both networks fall into two parts.
    Partition,
    /// Nothing runs on the node for a moment.
    Stall,
    /// The LAN drops everything from the node, which still hears the others.
    Mute,
    /// Both networks lose and duplicate packets.
    Loss,
    /// A Service disappears and returns, and the node learns of both late.
    StaleSnapshot,
    /// Others receive forged ICMP port-unreachables in the name of the node, which is well.
    ForgedUnreachable,
    /// The speaker starts again with a clock from before its previous start.
    ClockBack,
    /// All speakers are killed, and start again in any order.
    ColdStart,
    /// The speaker starts while the node network, or both networks, drop everything from and to the
    /// node.
    StartDuringCut,
    /// The node may own no address for a while.
    Ineligible,
    /// Services are deleted, and created again with the same addresses.
    Recreate,
    /// A Service disappears and returns, again and again.
    Flicker,
    /// The speaker starts again with a key that the others learn later, or with the old one.
    OtherKey,
}

/// All faults. The order is part of what a seed means.
pub(super) const FAULTS: [Fault; 20] = [
    Fault::Kill,
    Fault::Restart,
    Fault::Freeze,
    Fault::PowerOff,
    Fault::CarrierLoss,
    Fault::LanCut,
    Fault::NodeNetworkCut,
    Fault::Partition,
    Fault::Stall,
    Fault::Mute,
    Fault::Loss,
    Fault::StaleSnapshot,
    Fault::ForgedUnreachable,
    Fault::ClockBack,
    Fault::ColdStart,
    Fault::StartDuringCut,
    Fault::Ineligible,
    Fault::Recreate,
    Fault::Flicker,
    Fault::OtherKey,
];

impl Scenario {
    /// Injects a fault on a node, lets `duration` pass, and repairs it.
    pub(super) fn play_fault(&mut self, fault: Fault, node: usize, duration: Duration) {
        self.invariants.note_disturbance(self.world.now);
        if fault != Fault::ForgedUnreachable {
            self.invariants.note_impaired(self.world.now, node);
        }
        let is_reachable = matches!(
            fault,
            Fault::Kill
                | Fault::Restart
                | Fault::Freeze
                | Fault::ColdStart
                | Fault::Ineligible
                | Fault::Recreate
                | Fault::Flicker
                | Fault::OtherKey
        );
        if !is_reachable {
            for index in 0..self.world.nodes.len() {
                self.invariants.note_unreachable(self.world.now, index);
            }
        }
        match fault {
            Fault::Kill => self.kill(node, duration),
            Fault::Restart => self.restart(node, duration),
            Fault::Freeze => self.freeze(node, duration),
            Fault::PowerOff => self.power_off(node, duration),
            Fault::CarrierLoss => self.lose_carrier(node, duration),
            Fault::LanCut => self.cut_lan(node, duration),
            Fault::NodeNetworkCut => self.cut_node_network(node, duration),
            Fault::Partition => self.partition(duration),
            Fault::Stall => self.stall(node, duration),
            Fault::Mute => self.mute(node, duration),
            Fault::Loss => self.lose_packets(duration),
            Fault::StaleSnapshot => self.delay_snapshot(node, duration),
            Fault::ForgedUnreachable => self.forge_port_unreachable(node, duration),
            Fault::ClockBack => self.set_clock_back(node, duration),
            Fault::ColdStart => self.start_cold(),
            Fault::StartDuringCut => self.start_during_cut(node, duration),
            Fault::Ineligible => self.make_ineligible(node, duration),
            Fault::Recreate => self.recreate_services(duration),
            Fault::Flicker => self.flicker(duration),
            Fault::OtherKey => self.start_with_other_key(node, duration),
        }
    }

    fn kill(&mut self, node: usize, duration: Duration) {
        self.world.kill(node);
        self.watch(duration);
        self.world.start(node);
    }

    fn set_clock_back(&mut self, node: usize, duration: Duration) {
        self.world.kill(node);
        self.watch(duration);
        self.world.set_clock_back(node);
        self.world.start(node);
    }

    fn restart(&mut self, node: usize, duration: Duration) {
        self.world.begin_shutdown(node);
        let grace = self.random_millis(20..300);
        self.watch(grace);
        self.kill(node, duration);
    }

    fn freeze(&mut self, node: usize, duration: Duration) {
        self.world.nodes[node].frozen = true;
        self.watch(duration);
        self.world.thaw(node);
    }

    fn power_off(&mut self, node: usize, duration: Duration) {
        self.world.power_off(node);
        self.watch(duration);
        self.world.nodes[node].has_power = true;
        let boot = self.random_millis(0..2000);
        self.watch(boot);
        self.world.start(node);
    }

    fn lose_carrier(&mut self, node: usize, duration: Duration) {
        self.world.set_carrier(node, false);
        self.watch(duration);
        self.world.set_carrier(node, true);
    }

    fn cut_lan(&mut self, node: usize, duration: Duration) {
        self.world.nodes[node].lan_part = 1;
        self.watch(duration);
        self.world.nodes[node].lan_part = 0;
    }

    fn cut_node_network(&mut self, node: usize, duration: Duration) {
        self.world.nodes[node].node_network_part = 1;
        self.watch(duration);
        self.world.nodes[node].node_network_part = 0;
    }

    fn partition(&mut self, duration: Duration) {
        // Promise P1 covers one node or link. Here half of the nodes go at once.
        self.relax_outage();
        for node in &mut self.world.nodes {
            if self.random.random_bool(0.5) {
                node.lan_part = 1;
                node.node_network_part = 1;
            }
        }
        if self.random.random_bool(0.3) {
            self.world.client.lan_part = 1;
        }
        self.watch(duration);
        for (index, node) in self.world.nodes.iter_mut().enumerate() {
            node.lan_part = 0;
            node.node_network_part = 0;
            self.invariants.note_impaired(self.world.now, index);
        }
        self.world.client.lan_part = 0;
    }

    fn stall(&mut self, node: usize, duration: Duration) {
        let longest = self.random_millis(50..400);
        self.world.stall(node, duration.min(longest));
        self.watch(duration);
    }

    fn mute(&mut self, node: usize, duration: Duration) {
        self.world.nodes[node].mute = true;
        self.watch(duration);
        if self.world.spec.settings.ownership == OwnershipMode::Hash {
            // A node that was better for ten seconds takes over, but not if others do not hear it.
            self.watch(TAKEOVER_BY_HASH);
        }
        self.world.nodes[node].mute = false;
    }

    fn lose_packets(&mut self, duration: Duration) {
        let before = (self.world.lan, self.world.node_network);
        // Promise P1 does not cover loss, and what the speakers learned of the loss stays a while.
        self.relax_outage();
        self.world.set_conditions(LinkConditions {
            loss: self.random.random_range(0.02..0.3),
            duplicates: 0.05,
            ..self.world.lan
        });
        self.watch(duration);
        (self.world.lan, self.world.node_network) = before;
    }

    fn forge_port_unreachable(&mut self, node: usize, duration: Duration) {
        let end = self.world.now + duration;
        while self.world.now < end {
            for index in (0..self.world.nodes.len()).filter(|index| *index != node) {
                self.world.forge_port_unreachable(index, node);
            }
            self.watch(Duration::from_millis(10));
        }
    }

    fn delay_snapshot(&mut self, node: usize, duration: Duration) {
        let removed = self.world.snapshot.addresses.pop_first();
        self.world.nodes[node].sees_api = false;
        self.world.publish_snapshot();
        self.watch(duration.min(Duration::from_secs(2)));
        self.world.snapshot.addresses.extend(removed);
        self.world.publish_snapshot();
        self.world.nodes[node].sees_api = true;
        self.invariants.note_disturbance(self.world.now);
        self.watch(Duration::from_millis(700));
        self.world.publish_snapshot();
    }

    fn start_cold(&mut self) {
        let nodes = self.world.nodes.len();
        let before = self.world.recorded_shares();
        for node in 0..nodes {
            self.world.kill(node);
        }
        let mut delays: Vec<(Duration, usize)> = (0..nodes)
            .map(|node| (self.random_millis(0..LATEST_START), node))
            .collect();
        delays.sort();
        // A candidate that still listens delays those behind it. No promise limits that.
        let limit = std::mem::replace(&mut self.invariants.max_outage, COLD_START_OUTAGE);
        let begin = self.world.now;
        for (delay, node) in delays {
            let elapsed = self.world.now.saturating_duration_since(begin);
            self.watch(delay.saturating_sub(elapsed));
            self.world.start(node);
            self.invariants.note_disturbance(self.world.now);
        }
        self.watch(COLD_START_OUTAGE);
        self.invariants.max_outage = limit;
        // Older speakers keep what they took.
        if self.world.spec.settings.ownership == OwnershipMode::Sticky && self.world.spec.older == 0 {
            let addresses = u32::try_from(self.world.snapshot.addresses.len()).unwrap_or_default();
            self.watch(SPREADING + SPREADING_PER_ADDRESS * addresses);
            self.invariants.check_fair_shares(&self.world, &before);
        }
    }

    fn start_during_cut(&mut self, node: usize, duration: Duration) {
        self.world.kill(node);
        let pause = self.random_millis(0..1000);
        self.watch(pause);
        // Not the LAN alone, beside a node network that works. The peers expect no heartbeat there
        // before they have heard one. So they leave the addresses to the node that is cut off.
        let cuts_lan = !self.world.spec.split || self.random.random_bool(0.5);
        self.invariants.note_disturbance(self.world.now);
        self.world.nodes[node].lan_part = u8::from(cuts_lan);
        self.world.nodes[node].node_network_part = 1;
        self.watch(pause);
        self.world.start(node);
        self.watch(duration);
        self.world.nodes[node].lan_part = 0;
        self.world.nodes[node].node_network_part = 0;
    }

    fn start_with_other_key(&mut self, node: usize, duration: Duration) {
        self.world.kill(node);
        let pause = self.random_millis(0..2000);
        self.watch(pause);
        self.world.replace_key(node);
        self.world.start(node);
        self.invariants.note_disturbance(self.world.now);
        self.watch(duration);
        if self.random.random_bool(0.3) {
            // Two nodes may probe for an address and take each other for a foreign host.
            let limit = std::mem::replace(&mut self.invariants.max_outage, PROBING);
            self.recreate_services(duration);
            self.watch(PROBING);
            self.invariants.max_outage = limit;
        }
        self.world.share_keys();
    }

    fn make_ineligible(&mut self, node: usize, duration: Duration) {
        let by_label = self.random.random_bool(0.5);
        self.world.set_eligible(node, false, by_label);
        self.watch(duration);
        self.world.set_eligible(node, true, by_label);
    }

    fn recreate_services(&mut self, duration: Duration) {
        let count = self.random.random_range(1..=self.world.snapshot.addresses.len());
        let removed: Vec<_> = std::iter::from_fn(|| self.world.snapshot.addresses.pop_last())
            .take(count)
            .collect();
        self.world.publish_snapshot();
        self.watch(duration);
        self.world.snapshot.addresses.extend(removed);
        self.world.publish_snapshot();
    }

    fn flicker(&mut self, duration: Duration) {
        let end = self.world.now + duration;
        while self.world.now < end {
            let removed = self.world.snapshot.addresses.pop_first();
            self.world.publish_snapshot();
            let absent = self.random_millis(FLICKER);
            self.watch(absent);
            self.world.snapshot.addresses.extend(removed);
            self.world.publish_snapshot();
            self.invariants.note_disturbance(self.world.now);
            let present = self.random_millis(FLICKER);
            self.watch(present);
        }
    }

    fn relax_outage(&mut self) {
        self.invariants.max_outage = self.invariants.max_outage.max(RELAXED_OUTAGE);
    }
}
