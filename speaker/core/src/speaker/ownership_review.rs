//! Reviews ownership when something changed, and carries the decision to the other parts.

use std::{collections::BTreeMap, net::IpAddr, time::Instant};

use super::Speaker;
use crate::{
    borrow::{surroundings, turn, view},
    lan::Announcement,
    ownership::Decision,
    timers::Timer,
};

impl Speaker {
    /// Reviews ownership now, because something changed.
    pub(super) fn handle_change(&mut self, now: Instant) {
        self.excuse_pause(now);
        turn!(self, now).request_review();
        self.review_ownership_if_due(now);
    }

    pub(super) fn review_ownership_if_due(&mut self, now: Instant) {
        let timers = &self.sinks.timers;
        if timers.get(Timer::OwnershipReview).is_none() && !timers.is_due(Timer::OwnershipRecheck, now) {
            return;
        }
        self.end_listening_if_complete(now);
        if self.may_decide() {
            self.sinks.timers.set(Timer::OwnershipReview, None);
            self.review_ownership(now);
        }
    }

    /// Whether this speaker may decide on ownership. While it listens, what is owned stays with its
    /// owner.
    const fn may_decide(&self) -> bool {
        self.context.snapshot.is_some() && self.node.is_known() && !self.context.listening
    }

    /// Ends listening when all others have answered, or after a second.
    fn end_listening_if_complete(&mut self, now: Instant) {
        let Some(snapshot) = self.context.snapshot.as_ref().filter(|_| self.node.is_known()) else {
            return;
        };
        if self.context.listening {
            let until = self.sync.begin_listening(now);
            let complete = self.sync.is_complete(&self.context, snapshot, self.liveness.peers());
            self.context.listening = now < until && !complete;
            // Nothing else is due before: a review of ownership sets what comes next.
            self.sinks.timers.set(Timer::OwnershipRecheck, Some(until));
            self.sinks.timers.set(Timer::OwnershipReview, None);
        }
    }

    pub(super) fn review_ownership(&mut self, now: Instant) {
        let (view, turn) = (view!(self, now), turn!(self, now));
        let Some(decision) = self.ownership.decide(turn, view, self.lan.owned()) else {
            return;
        };
        let Decision {
            announce,
            duties,
            checks,
            recheck,
        } = decision;
        self.liveness.set_checks(turn, surroundings!(self), &checks);
        turn.timers.set(Timer::OwnershipRecheck, recheck);
        for owner in self.lan.set_duties(turn, duties) {
            if self.liveness.peers().leaving(&owner).is_some() {
                self.lan.confirm_duties(turn, &owner);
            }
        }
        self.apply_ownership(now, announce);
    }

    /// Announces exactly these addresses from now on.
    pub(super) fn apply_ownership(&mut self, now: Instant, announce: BTreeMap<IpAddr, Announcement>) {
        let turn = turn!(self, now);
        let lost = self.lan.withdraw_except(turn, &announce);
        self.ownership.give_up(turn, &lost);
        let owned = self.lan.owned();
        let is_new = |address| announce.contains_key(&address) && !owned.contains_key(&address);
        let gained = self.ownership.own_claims(&turn.context.me, is_new);
        let tentative = gained.iter().filter(|claim| claim.tentative);
        self.lan.set_owned(turn, announce, tentative.map(|claim| claim.address));
        self.ownership.publish(turn, &gained);
        self.ownership.report_taken(turn, &gained, &self.lan);
        self.lan.report_announced(turn);
        self.run_conflict_detection(now);
        self.lan.send_due_announcements(turn!(self, now));
    }

    pub(super) fn run_conflict_detection(&mut self, now: Instant) {
        let turn = turn!(self, now);
        let cleared = self.lan.run_conflict_detection(turn);
        self.ownership.confirm(turn, &cleared);
    }
}
