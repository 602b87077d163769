//! Messages of other speakers, by family.

use std::{net::IpAddr, time::Instant};

use super::Speaker;
use crate::{
    borrow::{full_state, surroundings, turn, view},
    liveness::peers::{Arrival, NetworkNames, Path, Sighting},
    output::Output,
    ownership::{ReceivedClaim, claims::ClaimOutcome},
    sync::{remind, welcome},
    timers::Timer,
    types::NodeName,
    wire::message::{Claim, Datagram, Message},
};

impl Speaker {
    /// Handles a message of another speaker that came from `source`. What follows for ownership is
    /// decided in the next timeout, which is due at once: many messages may come together.
    pub fn handle_datagram(&mut self, now: Instant, source: IpAddr, datagram: Datagram) {
        let Datagram {
            from,
            to,
            boot,
            sequence,
            message,
        } = datagram;
        if self.context.snapshot.is_none() || from == self.context.me || to != self.context.me {
            return;
        }
        self.excuse_pause(now);
        let arrival = Arrival {
            address: source,
            path: view!(self, now).path(&from, source),
            boot,
            sequence,
        };
        if self.handle_arrival(now, &from, &arrival) {
            self.handle_message(now, &from, arrival.path, message);
        }
    }

    /// Handles that a message arrived. Returns whether its content counts.
    fn handle_arrival(&mut self, now: Instant, from: &NodeName, arrival: &Arrival) -> bool {
        let sighting = self.liveness.handle_arrival(now, from, arrival);
        if let Some(address) = self.liveness.peers().address(from) {
            self.sinks.outbox.set_heard_from(from, address);
        }
        match sighting {
            Sighting::Replayed => return false,
            Sighting::Behind(boot) => {
                self.sinks.outbox.send(from, Message::StaleBoot(boot));
                return false;
            }
            Sighting::Known => {}
            Sighting::Appeared => {
                let turn = turn!(self, now);
                turn.request_review();
                turn.outbox.send(from, Message::WasFailed);
                welcome(turn, from, false, full_state!(self));
                self.review_peer(now, from);
            }
            Sighting::Restarted => {
                self.liveness.rebuild_ring(&self.context);
                let turn = turn!(self, now);
                turn.request_review();
                welcome(turn, from, true, full_state!(self));
                self.review_peer(now, from);
            }
        }
        true
    }

    fn handle_message(&mut self, now: Instant, from: &NodeName, path: Path, message: Message) {
        match message {
            Message::Heartbeat => self.handle_heartbeat(now, from, path),
            Message::Unwatch => self.liveness.handle_unwatch(from),
            Message::Hello(networks) => {
                if self.liveness.handle_networks(from, networks) {
                    self.handle_networks_changed(now, from);
                }
            }
            Message::Suspect(_)
            | Message::Failed { .. }
            | Message::FailedOn { .. }
            | Message::Recovered(_)
            | Message::WasFailed => {
                self.handle_liveness_report(now, from, message);
            }
            Message::Claims { .. }
            | Message::RelayedClaims(_)
            | Message::YourClaims(_)
            | Message::Released(_)
            | Message::Yielded(_) => self.handle_claims_message(now, from, message),
            Message::StaleBoot(boot) => self.sinks.outbox.push(Output::BootId(boot)),
            Message::Listening => {
                // It has forgotten what it owned, and may have missed the first reminder.
                // mutation: reminder-not-repeated
                remind(turn!(self, now), from, &self.ownership);
                self.note_answer(now, from);
            }
            Message::Leaving { handover } => {
                let turn = turn!(self, now);
                if self.liveness.handle_leaving(now, from, handover) {
                    turn.request_review();
                }
                self.lan.confirm_duties(turn, from);
            }
            Message::DeputyFor(addresses) => {
                self.ownership.handle_deputy_confirmation(&self.context.me, &addresses);
            }
            Message::Offer(addresses) => {
                let (view, turn) = (view!(self, now), turn!(self, now));
                self.ownership.handle_offer(turn, view, from, &addresses);
            }
        }
    }

    fn handle_heartbeat(&mut self, now: Instant, from: &NodeName, path: Path) {
        let turn = turn!(self, now);
        self.liveness.handle_heartbeat(turn, from, path);
        if !self.liveness.peers().was_alive(from) {
            self.review_peers(now);
        } else if !turn.timers.is_due(Timer::FailureDetection, now) {
            // What is due already is reviewed in the next timeout, not put off.
            self.liveness.arm_failure_detection(turn);
        }
    }

    /// Messages about who is alive.
    fn handle_liveness_report(&mut self, now: Instant, from: &NodeName, message: Message) {
        match message {
            Message::Suspect(node) => {
                self.liveness.handle_suspicion(now, &node);
                self.review_peer(now, &node);
            }
            Message::Failed { node, .. } if node == self.context.me => {
                self.ownership.restart_stability();
                self.refute(now);
            }
            Message::Failed { node, lan_only } => {
                if lan_only {
                    let networks = view!(self, now).networks_beside_node_network(&node);
                    self.handle_network_report(now, (from, &node), networks);
                } else if self.liveness.handle_failure_report(now, from, &node) {
                    self.review_peer(now, &node);
                }
            }
            // The report may be true: it is about some networks. Peers hear this node on others, so
            // it has nothing to refute.
            Message::FailedOn { node, .. } if node == self.context.me => self.ownership.restart_stability(),
            Message::FailedOn { node, networks } => self.handle_network_report(now, (from, &node), networks),
            Message::Recovered(node) => {
                self.liveness.handle_recovery_report(from, &node);
                self.review_peer(now, &node);
            }
            Message::WasFailed => self.refute(now),
            _ => {}
        }
    }

    fn handle_network_report(&mut self, now: Instant, about: (&NodeName, &NodeName), networks: NetworkNames) {
        let around = surroundings!(self);
        let turn = turn!(self, now);
        if self.liveness.handle_network_report(turn, around, about, networks) {
            self.review_peer(now, about.1);
        }
    }

    /// Messages about who owns what.
    fn handle_claims_message(&mut self, now: Instant, from: &NodeName, message: Message) {
        match message {
            Message::Claims { claims, last } => {
                self.ownership.acknowledge_again(turn!(self, now), from, &claims);
                for claim in claims {
                    self.handle_claim(now, from, from, claim);
                }
                if last {
                    if self.liveness.handle_claims_complete(from) {
                        turn!(self, now).request_review();
                    }
                    self.note_answer(now, from);
                }
            }
            Message::RelayedClaims(claims) => {
                for (node, claim) in claims {
                    // This node knows best what it owns.
                    if node != self.context.me {
                        self.handle_claim(now, from, &node, claim);
                    }
                }
            }
            // Only a speaker that has just started can have forgotten what it owned.
            Message::YourClaims(claims) if self.context.listening => {
                let me = self.context.me.clone();
                for claim in claims {
                    self.handle_claim(now, &me, &me, claim);
                }
            }
            Message::Released(claims) => {
                for claim in claims {
                    self.ownership.handle_release(turn!(self, now), from, claim);
                }
            }
            Message::Yielded(addresses) => {
                let turn = turn!(self, now);
                self.ownership.handle_yielded(turn, from, &addresses);
                // Neighbours that heard the former owner last have to learn the new one.
                for address in addresses {
                    self.lan.probe_again(turn, address);
                    self.lan.restart_announcements(turn, address);
                }
            }
            _ => {}
        }
    }

    /// Handles a claim of `node` that `teller` sent.
    fn handle_claim(&mut self, now: Instant, teller: &NodeName, node: &NodeName, claim: Claim) {
        let (view, turn) = (view!(self, now), turn!(self, now));
        let received = ReceivedClaim {
            node,
            claim,
            relayed: teller != node,
        };
        let outcome = self.ownership.handle_claim(turn, view, received);
        if outcome == ClaimOutcome::Outdated {
            self.contradict(now, teller, claim.address);
        }
    }

    /// Tells `node` who owns an address that it claims, or relays a claim for. If this node does,
    /// it tells the neighbours too, which may have heard the other one.
    fn contradict(&mut self, now: Instant, node: &NodeName, address: IpAddr) {
        let Some(record) = self.ownership.claims().get(address).cloned() else {
            return;
        };
        let claim = record.claim(address);
        let turn = turn!(self, now);
        if record.node == self.context.me {
            let claims = vec![claim];
            turn.outbox.send(node, Message::Claims { claims, last: false });
            self.lan.announce(turn, address);
        } else {
            turn.outbox
                .send(node, Message::RelayedClaims(vec![(record.node, claim)]));
        }
    }

    /// A peer has told this node all that it owns: the last answer ends listening.
    fn note_answer(&mut self, now: Instant, from: &NodeName) {
        if self.context.listening {
            self.sync.note_answer(from.clone());
            turn!(self, now).request_review();
        }
    }
}
