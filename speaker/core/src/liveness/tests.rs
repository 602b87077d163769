use super::*;
use crate::{
    borrow::{surroundings, turn, view},
    event::Event,
    test_support::{Parts, ip},
    wire::message::Message,
};

mod failure_detector;
mod reachability;
mod segments;
mod view;

/// Reviews `node`. Returns what others have to do.
fn review(parts: &mut Parts, node: &str) -> Review {
    let around = surroundings!(parts);
    parts.liveness.review(turn!(parts, parts.now), around, &node.into())
}

/// The names of the nodes of a cluster that is no full mesh. This node is the first of them.
const LARGE: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
