//! State transfer between speakers. A new speaker listens and learns. Anti-entropy repeats the full
//! state to one peer at a time, so that lost messages are repaired.
//!
//! ```text
//!   started ── listens until all peers have answered, or for 1 s ──► active
//!                 │                                                    │
//!                 └── peers send: YourClaims, RelayedClaims, Claims    └── every cycle to each peer:
//!                                                                          Hello, Claims
//! ```

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{
    cluster_snapshot::ClusterSnapshot,
    context::{Context, Turn},
    lan::Lan,
    liveness::peers::Peers,
    node::NodeState,
    ownership::Ownership,
    timers::Timer,
    types::NodeName,
    wire::message::{CLAIMS_PER_MESSAGE, Claim, Message},
};

/// How long a new speaker listens before it claims anything, unless all others have answered
/// before.
pub(crate) const LISTEN: Duration = Duration::from_secs(1);

/// The maximum number of other nodes' claims in one message. Each carries the name of its node.
const RELAYED_CLAIMS_PER_MESSAGE: usize = 12;

/// The shortest time between two resyncs.
const SHORTEST_STEP: Duration = Duration::from_millis(1);

/// How far this node has come in the exchange of state.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateSync {
    /// Until when to listen; `None` before snapshot and interfaces are known.
    listen_until: Option<Instant>,
    /// The peers that have told this node all that they own.
    answered: BTreeSet<NodeName>,
    /// The peer that received the full state last.
    last_resync: Option<NodeName>,
}

/// What the full state is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FullState<'a> {
    pub(crate) node: &'a NodeState,
    pub(crate) peers: &'a Peers,
    pub(crate) ownership: &'a Ownership,
    pub(crate) lan: &'a Lan,
}

impl StateSync {
    /// Starts listening, unless this node already does. Returns when it stops at the latest.
    pub(crate) fn begin_listening(&mut self, now: Instant) -> Instant {
        *self.listen_until.get_or_insert(now + LISTEN)
    }

    /// Records that a peer has told this node all that it owns.
    pub(crate) fn note_answer(&mut self, from: NodeName) {
        self.answered.insert(from);
    }

    /// Forgets the answers of nodes that have left.
    pub(crate) fn retain(&mut self, is_known: impl Fn(&NodeName) -> bool) {
        self.answered.retain(is_known);
    }

    /// Whether every other node of the cluster has answered.
    pub(crate) fn is_complete(&self, context: &Context, snapshot: &ClusterSnapshot, peers: &Peers) -> bool {
        let mut nodes = snapshot.nodes.keys();
        nodes.all(|node| *node == context.me || (self.answered.contains(node) && peers.has_sent_hello(node)))
    }

    /// Sends the full state to the next peer, and arms the timer for the one after it. That costs
    /// the same in a cluster of any size.
    pub(crate) fn resync_next(&mut self, turn: &mut Turn<'_>, cycle: Duration, state: FullState<'_>) {
        let others: Vec<NodeName> = turn.outbox.destinations().cloned().collect();
        let count = u32::try_from(others.len().max(1)).unwrap_or(u32::MAX);
        let step = (cycle / count).max(SHORTEST_STEP);
        turn.timers.set(Timer::AntiEntropy, Some(turn.now + step));
        let after = self.last_resync.take();
        let next = others
            .iter()
            .find(|node| after.as_ref().is_none_or(|after| *node > after));
        let Some(next) = next.or_else(|| others.first()) else {
            return;
        };
        send_hello(turn, state.node, next);
        if !turn.context.listening {
            for message in own_claims_messages(turn.context, state) {
                turn.outbox.send(next, message);
            }
            for released in state
                .ownership
                .claims()
                .released_by(&turn.context.me)
                .chunks(CLAIMS_PER_MESSAGE)
            {
                turn.outbox.send(next, Message::Released(released.to_vec()));
            }
        }
        self.last_resync = Some(next.clone());
    }
}

/// Sends a peer all that it needs after it appeared; `restarted`: it has forgotten everything.
pub(crate) fn welcome(turn: &mut Turn<'_>, node: &NodeName, restarted: bool, state: FullState<'_>) {
    send_hello(turn, state.node, node);
    remind(turn, node, state.ownership);
    if turn.context.listening {
        return turn.outbox.send(node, Message::Listening);
    }
    // Absent peers cannot send their claims. They go before the answer that the peer waits for. A
    // peer that has not restarted knows better who is alive around it, for example after a
    // partition.
    let absent = if restarted {
        claims_of_absent_peers(turn, node, state)
    } else {
        Vec::new()
    };
    for chunk in absent.chunks(RELAYED_CLAIMS_PER_MESSAGE) {
        turn.outbox.send(node, Message::RelayedClaims(chunk.to_vec()));
    }
    if restarted {
        // The claims below complete the answer. A peer that missed the first reminder would take
        // its own addresses as new ones, and probe them.
        remind(turn, node, state.ownership);
    }
    for message in own_claims_messages(turn.context, state) {
        turn.outbox.send(node, message);
    }
}

/// Tells a node that has restarted what it owned.
pub(crate) fn remind(turn: &mut Turn<'_>, node: &NodeName, ownership: &Ownership) {
    for claims in ownership.claims().of(node).chunks(CLAIMS_PER_MESSAGE) {
        turn.outbox.send(node, Message::YourClaims(claims.to_vec()));
    }
}

/// The claims of peers that are down, or that have restarted and not sent their claims yet; without
/// those of `newcomer`.
fn claims_of_absent_peers(turn: &Turn<'_>, newcomer: &NodeName, state: FullState<'_>) -> Vec<(NodeName, Claim)> {
    let claims = state.ownership.claims().iter();
    let others = claims.filter(|(owner, _)| *owner != newcomer && **owner != turn.context.me);
    let absent = others.filter(|(owner, _)| {
        !state.peers.is_available(owner, turn.now) || state.peers.awaiting_claims_since(owner).is_some()
    });
    absent.map(|(owner, claim)| (owner.clone(), claim)).collect()
}

fn send_hello(turn: &mut Turn<'_>, node: &NodeState, to: &NodeName) {
    if node.is_known() {
        turn.outbox.send(to, Message::Hello(node.networks()));
    }
}

/// The full list of claims to what this node announces, in at least one message: that there are
/// none is an answer too. A claim that this node does not announce is left out, so that others may
/// take it.
pub(crate) fn own_claims_messages(context: &Context, state: FullState<'_>) -> Vec<Message> {
    let owned = state.lan.owned();
    let claims = state
        .ownership
        .own_claims(&context.me, |address| owned.contains_key(&address));
    let mut chunks: Vec<&[Claim]> = claims.chunks(CLAIMS_PER_MESSAGE).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let count = chunks.len();
    let message = |(index, claims): (usize, &[Claim])| Message::Claims {
        claims: claims.to_vec(),
        last: index + 1 == count,
    };
    chunks.into_iter().enumerate().map(message).collect()
}

#[cfg(test)]
mod tests;
