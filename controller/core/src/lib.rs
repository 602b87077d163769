//! Decides which Service of type LoadBalancer gets which address.
//!
//! ```text
//!  ResourceChange ──► Reconciler ──► plan ──► Plan
//!                     (owns all       (reads    │ the Reconciler applies it to the Allocator
//!                      state)          only)    ▼
//!  status of the Service ◄── shell ◄── Job (a status to write)
//! ```
//!
//! Everything here is deterministic: no I/O, no async runtime, no clock, no Kubernetes client. The
//! crate does not depend on one, so the compiler enforces this. The shell (`lodestone-controller`)
//! reports what changed, takes [`Job`]s, writes them, and reports the result.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`Reconciler`] | owns all state, and chooses which Service is planned next |
//! | [`plan()`](plan::plan) | decides about one Service; reads the allocations, changes nothing |
//! | [`alloc`] | which Service holds which address |
//! | [`admission`] | reviews an edit of the configuration before the API server stores it |
//! | [`service_view`] | the fields of a Service that the controller uses |
//!
//! The `on_*` methods of [`Reconciler`] are its inputs. [`Reconciler::pop_job`] and the `take_*`
//! methods are its outputs; the caller asks for them after each input.
#![forbid(unsafe_code)]

pub mod admission;
pub mod alloc;
mod backoff;
mod known;
mod notice;
pub mod plan;
mod reconciler;
mod resource_change;
pub mod service_view;

pub use backoff::Backoff;
pub use known::Known;
pub use notice::{EventReason, Notice, ObjectNotice};
pub use plan::OnPoolChange;
pub use reconciler::{Job, Reconciler};
pub use resource_change::ResourceChange;
pub use service_view::ServiceView;
