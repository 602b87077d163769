//! Ownership.

pub mod claims;
pub mod eligibility;
pub mod ranking;
