//! Whoever owned an address until now goes on answering for it until it has heard of the new owner: a claim that gets lost on its way there is
//! said again, until the one before has yielded.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{Speaker, ownership::earlier};
use crate::{
    core::settings::DeputyMode,
    wire::message::{CLAIMS_PER_MESSAGE, Claim, Message, NodeName},
};

/// How often a claim is said again, and after what time: at 30 % loss it never arrives once in a thousand times, until everything is repeated.
const TIMES: u32 = 5;
const AGAIN: Duration = Duration::from_millis(100);

/// How often after that to whoever answers in place of the owner before, though that lives: it does not say that it has heard.
const AFTERWARDS: u32 = 2;

/// A claim that its former owner has not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Unanswered {
    former: NodeName,
    left: u32,
    due: Instant,
}

impl Speaker {
    /// These were just claimed and told: where another one owned them, it is to say that it has heard.
    pub(super) fn await_yielding(&mut self, now: Instant, gained: &[Claim]) {
        for claim in gained {
            if let Some((Some(former), _)) = self.causes.get(&claim.address) {
                let unanswered = Unanswered {
                    former: former.clone(),
                    left: TIMES,
                    due: now + AGAIN,
                };
                self.unanswered.insert(claim.address, unanswered);
            }
        }
    }

    /// `node` has heard that these are another's now. Only the word of the one that is waited for counts: another one may have owned them, too.
    pub(super) fn yielded(&mut self, node: &NodeName, addresses: &[IpAddr]) {
        let left = if self.settings.deputy == DeputyMode::Always {
            AFTERWARDS
        } else {
            0
        };
        for address in addresses {
            if let Some(unanswered) = self.unanswered.get_mut(address).filter(|one| one.former == *node) {
                unanswered.left = unanswered.left.min(left);
            }
        }
        self.unanswered.retain(|_, unanswered| unanswered.left > 0);
    }

    /// Says once more what is due: to the owner before, and to everybody where somebody always answers in its place.
    pub(super) fn claim_again(&mut self, now: Instant) {
        let owned = &self.owned;
        self.unanswered.retain(|address, _| owned.contains_key(address));
        let mut due: BTreeMap<NodeName, Vec<Claim>> = BTreeMap::new();
        for (address, unanswered) in self.unanswered.iter_mut().filter(|(_, one)| one.due <= now) {
            (unanswered.left, unanswered.due) = (unanswered.left - 1, now + AGAIN);
            let mine = self.claims.holder(*address).filter(|holder| holder.node == self.me);
            let claims = due.entry(unanswered.former.clone()).or_default();
            claims.extend(mine.map(|holder| holder.claim(*address)));
        }
        self.unanswered.retain(|_, unanswered| unanswered.left > 0);
        if self.settings.deputy == DeputyMode::Always {
            let claims: Vec<Claim> = due.into_values().flatten().collect();
            return self.tell_claims(&claims);
        }
        for (node, claims) in due {
            for some in claims.chunks(CLAIMS_PER_MESSAGE) {
                let claims = some.to_vec();
                self.tell(&node, Message::Claims { claims, last: false });
            }
        }
    }

    /// When something is to be said once more.
    pub(super) fn next_claim_again(&self) -> Option<Instant> {
        let mut next = None;
        self.unanswered
            .values()
            .for_each(|unanswered| earlier(&mut next, Some(unanswered.due)));
        next
    }
}
