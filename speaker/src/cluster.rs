//! Kubernetes, as far as the speaker looks at it: what it reads ([`gather`]), what it writes ([`status`]).

pub mod gather;
pub mod secret;
pub mod state;
pub mod status;
pub mod tell;
pub mod view;
