//! Writes statuses: those of Services, and those of configuration objects.

pub(crate) mod desired;
pub(crate) mod service;
pub(crate) mod write;
