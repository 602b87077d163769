use serde_json::{Value, json};

use super::*;
use crate::{
    borrow::{surroundings, turn, view},
    event::{Event, OwnershipCause},
    lan::Announcement,
    settings::{DeputyMode, OwnershipMode},
    test_support::{Parts, claim, ip},
    testing::config,
    timers::Timer,
    wire::message::Message,
};

mod deputy;
mod election;
mod handover;
mod owner;
mod partition;
mod rivals;
mod takeover;

/// The Service address of most tests.
const ADDRESS: &str = "192.0.2.1";

/// Nodes `a`, which is this one, `b` and `c`, all eligible to own [`ADDRESS`].
fn cluster() -> Parts {
    cluster_with(ADDRESS)
}

fn cluster_with(address: &str) -> Parts {
    let mut parts = Parts::new(&["a", "b", "c"], &[address]);
    for node in ["b", "c"] {
        parts.join(node);
    }
    parts
}

/// Reviews ownership, and announces what follows.
fn decide(parts: &mut Parts) -> Decision {
    let view = view!(parts, parts.now);
    let turn = turn!(parts, parts.now);
    let decision = parts.ownership.decide(turn, view, parts.lan.owned()).unwrap();
    let wanted: BTreeMap<IpAddr, Announcement> = decision.announce.clone();
    parts.lan.set_owned(turn!(parts, parts.now), wanted, []);
    decision
}

/// How long after now the decision is due for another review, in milliseconds.
fn recheck_after(parts: &Parts, decision: &Decision) -> Option<u128> {
    Some((decision.recheck? - parts.now).as_millis())
}

/// The owner of an address by the claim in force.
fn claimed_by(parts: &Parts, address: &str) -> String {
    parts
        .ownership
        .claims
        .owner(ip(address))
        .map_or_else(String::new, ToString::to_string)
}

/// Why this node owns [`ADDRESS`], if it took it.
fn cause(parts: &Parts) -> Option<OwnershipCause> {
    parts.ownership.taken(ip(ADDRESS)).map(|taken| taken.cause)
}

/// Lets time pass in which the peers `b` and `c` stay alive.
fn pass_alive(parts: &mut Parts, milliseconds: u64) {
    parts.pass(milliseconds);
    for node in ["b", "c"] {
        parts.hear(node, crate::liveness::peers::Path::Node);
    }
}

/// Excludes a node from load balancing by its label, or includes it again.
fn set_excluded(parts: &mut Parts, node: &str, excluded: bool) {
    parts.edit_snapshot(|snapshot| {
        let labels = &mut snapshot.nodes.get_mut(node).unwrap().labels;
        let label = "node.kubernetes.io/exclude-from-external-load-balancers".to_owned();
        labels.clear();
        if excluded {
            labels.insert(label, String::new());
        }
    });
}

/// Advertises with a preference for `a`.
fn prefer_a(parts: &mut Parts) {
    let selector = json!({"weight": 10, "preference": {"matchLabels": {"name": "a"}}});
    advertise(parts, &json!({"preferredNodeSelectors": [selector]}));
}

fn advertise(parts: &mut Parts, advertisement: &Value) {
    parts.edit_snapshot(|snapshot| {
        for (name, node) in &mut snapshot.nodes {
            node.labels.insert("name".to_owned(), name.to_string());
        }
        snapshot.config = Arc::new(config(std::slice::from_ref(advertisement)));
    });
}

/// An address for which `a` comes at this place among `a`, `b` and `c` by hash.
fn address_where_a_ranks(place: usize) -> String {
    let nodes = ["a", "b", "c"].map(NodeName::from);
    let rank = |address: &String| {
        let eligible = nodes.iter().map(|node| (node, 0));
        let order = ranking::rank(ip(address), eligible, &ranking::Load::unlimited());
        order[place].as_str() == "a"
    };
    let mut addresses = (1..200).map(|host| format!("192.0.2.{host}"));
    addresses.find(rank).unwrap()
}

/// An own claim to an address, as if by a takeover from `b`.
fn take_from_b(parts: &mut Parts, address: &str) -> Vec<Claim> {
    parts.claim("b", address, 1);
    parts.claim("a", address, 2);
    let state = parts.ownership.addresses.entry(ip(address)).or_default();
    state.taken = Some(Acquisition {
        from: Some("b".into()),
        cause: OwnershipCause::NodeDown,
        missing: Arc::default(),
    });
    parts.ownership.own_claims(&"a".into(), |own| own == ip(address))
}
