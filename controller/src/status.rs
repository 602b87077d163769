//! Statuses that the controller writes: those of Services, and those of the configuration's objects.

pub mod desired;
pub mod service;
