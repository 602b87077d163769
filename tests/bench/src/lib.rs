//! Parts that the benchmark programs share.
//!
//! | Program | What it measures |
//! |---|---|
//! | `bench` | the controller: idle cost, bursts of Services, start-up and leader takeover |
//! | `failover` | what a client notices when speakers, links and nodes fail |
//! | `cost` | memory and CPU of the speakers, and CPU per ARP answer |
//! | `bareloop` | nothing: it is the baseline that `bench` compares the controller with |
//!
//! Each measuring program starts a cluster of its own, installs the chart, prints its figures on
//! standard output and takes the cluster down.
#![forbid(unsafe_code)]
#![expect(
    clippy::missing_errors_doc,
    reason = "a measurement that fails is void, whatever the reason"
)]

pub mod load;
pub mod packet_sockets;
pub mod process;
pub mod statistics;
