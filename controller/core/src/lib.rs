//! Decides which Service of type LoadBalancer gets which address.
//!
//! ```text
//!  ResourceChange ──► Reconciler ──► plan ──► Plan
//!                     (owns all       (reads    │ the Reconciler applies it to the Allocator
//!                      state)          only)    ▼
//!  status of the Service ◄── shell ◄── Job (a status to write)
//! ```
//!
//! Everything here is deterministic: it does no I/O but log lines, and reads no clock. The
//! dependencies contain no async runtime and no Kubernetes client, and the crate's `clippy.toml`
//! bans sockets, files and clocks. The shell (`lodestone-controller`) reports what changed, takes
//! [`Job`]s, writes them, and reports the result.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`Reconciler`] | owns all state, and chooses which Service is planned next |
//! | `plan` (private) | decides about one Service; reads the allocations, changes nothing |
//! | [`alloc`] | which Service holds which address |
//! | [`admission`] | reviews an edit of the configuration before the API server stores it |
//! | [`service_view`] | the fields of a Service that the controller uses |
//!
//! The `handle_*` methods of [`Reconciler`] are its inputs, with [`Reconciler::set_leader`] and
//! [`Reconciler::begin_relist`]. The `poll_*` methods are its outputs; the caller asks for them
//! after each input.
//!
//! ```
//! use lodestone_controller_core::{OnPoolChange, Reconciler, ServiceView};
//! use lodestone_crds::ResourceChange;
//! use serde_json::json;
//!
//! let mut reconciler = Reconciler::new(OnPoolChange::Retain);
//! reconciler.set_leader(true);
//! let pool = json!({
//!     "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
//!     "metadata": {"name": "p"}, "spec": {"addresses": ["192.0.2.0/30"]},
//! });
//! let service = json!({
//!     "metadata": {"name": "a", "namespace": "n"},
//!     "spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"]},
//! });
//! let service = ServiceView::new(&serde_json::from_value(service)?, "");
//! reconciler.handle_pool(ResourceChange::Applied(serde_json::from_value(pool)?));
//! reconciler.handle_namespace(ResourceChange::Applied(("n".into(), Default::default())));
//! reconciler.handle_service(ResourceChange::Applied(service));
//! assert_eq!(reconciler.poll_job(), None, "nothing is allocated before the first lists are complete");
//!
//! reconciler.handle_pool(ResourceChange::Synced);
//! reconciler.handle_l2_advertisement(ResourceChange::Synced);
//! reconciler.handle_namespace(ResourceChange::Synced);
//! reconciler.handle_service(ResourceChange::Synced);
//! let job = reconciler.poll_job().ok_or("a status to write")?;
//! assert_eq!(job.status.ingress[0].ip.as_deref(), Some("192.0.2.0"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod admission;
pub mod alloc;
mod backoff;
mod known;
mod notice;
mod plan;
mod reconciler;
pub mod service_view;

pub use known::Known;
pub use notice::{EventReason, Notice, ObjectNotice};
pub use plan::{DesiredStatus, OnPoolChange};
pub use reconciler::{Job, Reconciler};
pub use service_view::ServiceView;
