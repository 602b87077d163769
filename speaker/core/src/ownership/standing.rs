//! Whether the node that claims an address may go on owning it.
//!
//! A verdict says who could take an address, and a node whose speaker is not heard cannot. It may
//! keep what it owns all the same, as long as it would be eligible with a speaker: its deputy
//! answers for it. A node whose Node object was deleted hands over, once another can take over.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::eligibility::{Eligibility, Verdicts, verdict_on};
use crate::{
    cluster_snapshot::Node,
    ineligibility::IneligibilityReason,
    liveness::{View, reachability::Reachability},
    types::NodeName,
};

/// How long a Node may be missing: it may come back, or the API server may be behind.
pub(super) const DELETED_GRACE: Duration = Duration::from_secs(2);

/// How long a failed owner keeps an address at least, while nothing shows whether its node lives.
const UNDECIDED_LIMIT: Duration = Duration::from_secs(60);

/// How a node that claims the address announces it, or why it no longer may. `None` if too little
/// is known of the node.
pub(super) fn standing<'a>(
    view: &View<'_>,
    address: IpAddr,
    verdicts: &'a Verdicts,
    node: &NodeName,
) -> Option<Result<Cow<'a, Eligibility>, IneligibilityReason>> {
    match verdicts.get(node) {
        Some(Ok(eligibility)) => Some(Ok(Cow::Borrowed(eligibility))),
        Some(Err(reason)) if reason.is_silence() => {
            let snapshot = view.context.snapshot.as_ref()?;
            by_last_hello(view, address, (node, snapshot.nodes.get(node)?))
        }
        Some(Err(reason)) => Some(Err(*reason)),
        None => {
            let deleted = view.context.deleted.get(node)?;
            // mutation: deleted-node-keeps-its-addresses
            if view.now >= deleted.since + DELETED_GRACE && has_successor(view, verdicts, node) {
                return Some(Err(IneligibilityReason::NodeDeleted));
            }
            by_last_hello(view, address, (node, &deleted.node))
        }
    }
}

/// Decides by the last Hello of a node, because the verdicts do not contain it, or only say that it
/// is not heard.
fn by_last_hello<'a>(
    view: &View<'_>,
    address: IpAddr,
    (name, node): (&NodeName, &Node),
) -> Option<Result<Cow<'a, Eligibility>, IneligibilityReason>> {
    let snapshot = view.context.snapshot.as_deref()?;
    let networks = if *name == view.context.me {
        view.around.node.networks()
    } else {
        view.peers()
            .has_sent_hello(name)
            .then(|| view.peers().networks_of(name).to_vec())?
    };
    let verdict = verdict_on(snapshot, (name, node), &networks, address);
    Some(verdict.map(Cow::Owned))
}

/// Whether a node other than `owner` can take the address.
pub(super) fn has_successor(view: &View<'_>, verdicts: &Verdicts, owner: &NodeName) -> bool {
    let shuts_down = view.context.shutdown.is_some();
    let stays = |node: &NodeName| node != owner && !(shuts_down && *node == view.context.me);
    verdicts.iter().any(|(node, verdict)| verdict.is_ok() && stays(node))
}

/// The time without the speaker of an owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absence {
    /// When it ends, because the addresses move; `None`: never.
    pub(super) until: Option<Instant>,
}

/// The absence of the speaker of `node`, if it is absent. `failed_since`: since when this node does
/// not hear it where it announces, which is on `interfaces`.
pub(super) fn absence(
    view: &View<'_>,
    (node, interfaces): (&NodeName, &BTreeSet<String>),
    failed_since: Option<Instant>,
) -> Option<Absence> {
    let leaving = view.peers().leaving(node).map(|leaving| leaving.since);
    let awaited = view.peers().awaiting_claims_since(node);
    let since = [leaving, awaited, failed_since].into_iter().flatten().min()?;
    let is_certain =
        leaving.is_some() || failed_since.is_none() || view.reachability(node, interfaces) == Reachability::SpeakerDown;
    let limit = view.context.settings.speaker_down_limit;
    // mutation: no-limit-while-undecided
    let limit = if is_certain { limit } else { limit.max(UNDECIDED_LIMIT) };
    Some(Absence {
        until: since.checked_add(limit),
    })
}
