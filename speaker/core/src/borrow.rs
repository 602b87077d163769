//! Macros that borrow the parts of a speaker, all at once but each on its own. A method of the
//! speaker could not: it would borrow the speaker as a whole.
//!
//! They fit every type whose fields have the names of those of [`Speaker`](crate::Speaker). The
//! unit tests of the parts have such a type, too.

/// Borrows what the parts write to.
macro_rules! turn {
    ($speaker:ident, $now:expr) => {
        &mut $crate::context::Turn::new($now, &$speaker.context, &mut $speaker.sinks)
    };
}

/// Borrows the peers as this node sees them.
macro_rules! view {
    ($speaker:ident, $now:expr) => {
        &$speaker
            .liveness
            .view($now, &$speaker.context, $crate::borrow::surroundings!($speaker))
    };
}

/// Borrows the interfaces and what is heard on them.
macro_rules! surroundings {
    ($speaker:ident) => {
        $crate::liveness::Surroundings {
            node: &$speaker.node,
            neighbours: $speaker.lan.neighbours(),
            heard_macs: $speaker.lan.heard_macs(),
        }
    };
}

/// Borrows what the full state is made of.
macro_rules! full_state {
    ($speaker:ident) => {
        $crate::sync::FullState {
            node: &$speaker.node,
            peers: $speaker.liveness.peers(),
            ownership: &$speaker.ownership,
            lan: &$speaker.lan,
        }
    };
}

pub(crate) use {full_state, surroundings, turn, view};
