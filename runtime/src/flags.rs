//! Flags that both programs have. Those with an environment variable use MetalLB's name for it.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use crate::log;

/// The flags that both programs have.
#[derive(Args, Clone, Debug)]
pub struct CommonFlags {
    /// Namespace of Lodestone itself and of all its configuration
    #[arg(long, env = "METALLB_NAMESPACE", default_value = "metallb-system")]
    pub namespace: String,

    /// Least severe level that is logged
    #[arg(long, env = "METALLB_LOG_LEVEL", value_enum, default_value_t)]
    pub log_level: log::Level,

    /// Format of log lines
    #[arg(long, env = "METALLB_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: log::Format,

    /// Address of the HTTP server for /healthz, /readyz and /debug/state; `::` listens on all
    /// addresses of both families
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
    /// The address of the admin server.
    #[must_use]
    pub const fn admin_address(&self) -> SocketAddr {
        SocketAddr::new(self.health_probe_address, self.health_probe_port)
    }
}

/// Whether a process with the flag `--lb-class=ours` serves a Service of class `class`.
#[must_use]
pub fn serves_class(ours: &str, class: Option<&str>) -> bool {
    class.unwrap_or_default() == ours
}

#[cfg(test)]
mod tests {
    use super::serves_class;

    #[test]
    fn only_services_of_the_own_class_are_served() {
        assert!(serves_class("", None));
        assert!(!serves_class("", Some("other")));
        assert!(serves_class("ours", Some("ours")));
        assert!(!serves_class("ours", None));
        assert!(!serves_class("ours", Some("other")));
    }
}
