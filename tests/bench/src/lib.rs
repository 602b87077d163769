//! What the programs that measure have in common.
#![forbid(unsafe_code)]
#![expect(
    clippy::missing_errors_doc,
    reason = "a measurement that fails has failed, whatever the reason"
)]

pub mod figures;
pub mod load;
pub mod packets;
pub mod process;
