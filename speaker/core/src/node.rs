//! This node.

pub mod interface;
pub mod interface_filter;
pub mod preflight;
