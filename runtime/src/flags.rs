//! The flags that both processes have. Each can be given in the environment, under the names that MetalLB uses.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use crate::log;

/// The flags that both processes have.
#[derive(Args, Clone, Debug)]
pub struct CommonFlags {
    /// Namespace of Lodestone itself and of all its configuration
    #[arg(long, env = "METALLB_NAMESPACE", default_value = "metallb-system")]
    pub namespace: String,

    /// How much is logged
    #[arg(long, env = "METALLB_LOG_LEVEL", value_enum, default_value_t)]
    pub log_level: log::Level,

    /// How log lines look
    #[arg(long, env = "METALLB_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: log::Format,

    /// Address of the HTTP server for /healthz, /readyz and /debug/state; `::` is every address of both families
    #[arg(long, default_value = "::")]
    pub health_probe_address: IpAddr,

    /// Port of the HTTP server for /healthz, /readyz and /debug/state
    #[arg(long, default_value_t = 17472)]
    pub health_probe_port: u16,

    /// Serve only Services of this loadBalancerClass; empty: only Services without a class
    #[arg(long, env = "METALLB_LB_CLASS", default_value = "")]
    pub lb_class: String,
}

impl CommonFlags {
    /// Where the admin server listens.
    #[must_use]
    pub const fn admin_address(&self) -> SocketAddr {
        SocketAddr::new(self.health_probe_address, self.health_probe_port)
    }

    /// Whether a Service of this loadBalancerClass is ours.
    #[must_use]
    pub fn serves_class(&self, class: Option<&str>) -> bool {
        serves_class(&self.lb_class, class)
    }
}

/// Whether a Service of class `class` is served by a process whose flag says `ours`.
#[must_use]
pub fn serves_class(ours: &str, class: Option<&str>) -> bool {
    class.unwrap_or_default() == ours
}

#[cfg(test)]
mod tests {
    use super::serves_class;

    #[test]
    fn without_a_flag_only_services_without_a_class_are_served() {
        assert!(serves_class("", None));
        assert!(!serves_class("", Some("other")));
        assert!(serves_class("ours", Some("ours")));
        assert!(!serves_class("ours", None));
        assert!(!serves_class("ours", Some("other")));
    }
}
