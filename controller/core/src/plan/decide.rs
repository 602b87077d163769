//! Decides which addresses a Service gets, given those that it has.

use std::net::IpAddr;

use lodestone_crds::Family;

use super::{
    choose::{Chooser, Pick},
    keep::Keep,
    text::join_addresses,
    unmet_request::UnmetRequest,
};
use crate::{
    notice::{EventReason, Notice},
    service_view::Request,
};

/// Why a Service does not get what it asks for.
pub(super) struct Failure {
    pub(super) notice: Notice,
    /// Whether the reason is that another Service has one of the ports.
    pub(super) is_for_ports: bool,
}

/// What a Service has, and whether it may keep that.
pub(super) struct Situation<'a> {
    pub(super) chooser: Chooser<'a>,
    /// The addresses of an edited status that the Service takes over.
    pub(super) followed: Option<Vec<IpAddr>>,
    /// All addresses that the Service holds.
    pub(super) all: Vec<IpAddr>,
    /// Those that it can use: without those of a family that it has given up.
    pub(super) held: Vec<IpAddr>,
    pub(super) keep: Keep,
}

impl<'a> Situation<'a> {
    pub(super) fn of(chooser: Chooser<'a>) -> Self {
        let service = chooser.input.service;
        let followed = chooser.follow_edit();
        // The Service holds what it follows under its present terms.
        let holder_changed = chooser.holder_changed && followed.is_none();
        let chooser = Chooser {
            holder_changed,
            ..chooser
        };
        let all = match &followed {
            Some(followed) => followed.clone(),
            None => chooser.allocator.held(&service.key).to_vec(),
        };
        let mut held = all.clone();
        held.retain(|address| service.families.contains(&Family::of(*address)));
        if held.is_empty() {
            held.clone_from(&all);
        }
        let keep = chooser.keep(&held);
        Self {
            chooser,
            followed,
            all,
            held,
            keep,
        }
    }

    /// The addresses that the Service gets, or why it cannot have what it asks for.
    pub(super) fn decide(&self) -> Result<Pick, Failure> {
        let fits = |pool: &Option<String>| self.is_from_requested_pool(pool.as_ref());
        match (&self.chooser.input.service.request, &self.keep) {
            (Request::Invalid(text), _) => Err(self.invalid(text)),
            (Request::Addresses(wanted), Keep::Yes(pool) | Keep::Retained { pool, .. })
                if same_set(&self.held, wanted) && fits(pool) =>
            {
                Ok(self.unchanged(pool))
            }
            (Request::Addresses(wanted), _) => self.chooser.requested(wanted).map_err(|why| self.unmet(&why)),
            (Request::Any, Keep::Yes(pool)) if fits(pool) => {
                Ok(self.chooser.topped_up(&self.held, self.unchanged(pool)))
            }
            (Request::Any, Keep::Retained { pool, .. }) if fits(pool) => Ok(self.unchanged(pool)),
            (Request::Any, _) => self.chooser.any(&self.held).map_err(|why| self.unmet(&why)),
        }
    }

    fn is_from_requested_pool(&self, pool: Option<&String>) -> bool {
        let requested = self.chooser.input.service.requested_pool.as_ref();
        requested.is_none() || requested == pool
    }

    fn unchanged(&self, pool: &Option<String>) -> Pick {
        Pick {
            addresses: self.held.clone(),
            pool: pool.clone(),
            missing: None,
        }
    }

    fn invalid(&self, text: &str) -> Failure {
        let reason = if self.held.is_empty() {
            EventReason::AllocationFailed
        } else {
            EventReason::LoadBalancerFailed
        };
        Failure {
            notice: Notice::new(reason, self.failure_text(text)),
            is_for_ports: false,
        }
    }

    fn unmet(&self, unmet: &UnmetRequest) -> Failure {
        let (why, is_for_ports) = match &self.keep {
            Keep::No(why) => (Some(why.clone()), false),
            Keep::Clash(conflict) => (Some(conflict.to_string()), conflict.is_for_ports()),
            Keep::Nothing | Keep::Yes(_) | Keep::Retained { .. } => (None, unmet.is_for_ports()),
        };
        let mut text = unmet.to_string();
        // For an address that the Service both asks for and holds, the two texts are the same.
        if let Some(why) = why.filter(|why| *why != text) {
            text = format!("{why}, and {text}");
        }
        Failure {
            notice: Notice::new(EventReason::AllocationFailed, self.failure_text(&text)),
            is_for_ports,
        }
    }

    fn failure_text(&self, text: &str) -> String {
        if self.held.is_empty() || matches!(self.keep, Keep::Clash(_)) {
            let key = self.chooser.input.service.key.to_string();
            // MetalLB's text.
            format!("Failed to allocate IP for {key:?}: {text}")
        } else {
            format!("{text}; the Service keeps {}", join_addresses(&self.held))
        }
    }
}

fn same_set(a: &[IpAddr], b: &[IpAddr]) -> bool {
    a.len() == b.len() && a.iter().all(|address| b.contains(address))
}
