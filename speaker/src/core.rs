//! The speaker's decisions. Pure: time, facts, frames and messages go in; frames, messages and ownership come out.
//!
//! | Module | What it decides |
//! |---|---|
//! | [`facts`] | what is known from Kubernetes |
//! | [`eligibility`] | which nodes may own an address, and why the others may not |
//! | [`election`] | in which order they come |
//! | [`peers`] | which speakers are alive |
//! | [`claims`] | who owns what |
//! | [`ring`] | who watches whom |
//! | [`link`] | how long a peer may be silent |
//! | [`check`] | what the wire says of a silent one |
//! | [`probe`] | addresses that foreign hosts use |
//! | [`preflight`] | what is wrong with the node itself |
//! | [`exclude`] | which interfaces are left alone |
//! | [`settings`] | what a user chooses |
//! | [`announce`] | when an owner speaks up unasked |
//! | [`speaker`] | all of it together |

pub mod announce;
pub mod check;
pub mod claims;
pub mod election;
pub mod eligibility;
pub mod exclude;
pub mod facts;
pub mod interface;
pub mod link;
pub mod peers;
pub mod preflight;
pub mod probe;
pub mod ring;
pub mod settings;
pub mod speaker;

pub use facts::{Facts, Recorded};
pub use interface::Interface;
pub use settings::Settings;
pub use speaker::{Happening, Kind, Output, Owned, Speaker};
