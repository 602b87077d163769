//! Whether the node that claims an address may go on owning it.
//!
//! A verdict says who could take an address, and a node whose speaker is not heard cannot. It may
//! keep what it owns all the same, as long as it would be eligible with a speaker: its deputy
//! answers for it.

use std::{borrow::Cow, net::IpAddr};

use super::eligibility::{Eligibility, Verdicts, verdict_on};
use crate::{ineligibility::Reason, liveness::View, types::NodeName};

/// How a node that claims the address announces it, or why it no longer may. `None` if too little
/// is known of the node.
pub(super) fn standing<'a>(
    view: &View<'_>,
    address: IpAddr,
    verdicts: &'a Verdicts,
    node: &NodeName,
) -> Option<Result<Cow<'a, Eligibility>, Reason>> {
    match verdicts.get(node)? {
        Ok(candidate) => Some(Ok(Cow::Borrowed(candidate))),
        Err(Reason::NoSpeaker) => standing_without_speaker(view, address, node).map(|verdict| verdict.map(Cow::Owned)),
        Err(reason) => Some(Err(*reason)),
    }
}

fn standing_without_speaker(view: &View<'_>, address: IpAddr, node: &NodeName) -> Option<Result<Eligibility, Reason>> {
    let snapshot = view.context.snapshot.as_deref()?;
    let known = snapshot.nodes.get(node)?;
    if !view.peers().has_sent_hello(node) {
        return None;
    }
    let networks = view.peers().networks_of(node);
    Some(verdict_on(snapshot, (node, known), networks, address))
}

/// Whether a node other than `owner` can take the address.
pub(super) fn has_successor(view: &View<'_>, verdicts: &Verdicts, owner: &NodeName) -> bool {
    let shuts_down = view.context.shutdown.is_some();
    let stays = |node: &NodeName| node != owner && !(shuts_down && *node == view.context.me);
    verdicts.iter().any(|(node, verdict)| verdict.is_ok() && stays(node))
}
