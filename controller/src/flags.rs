//! The command line of the controller.

use clap::{Parser, ValueEnum};
use lodestone_controller_core::OnPoolChange;
use lodestone_runtime::flags::CommonFlags;

/// Allocates addresses of IPAddressPools to Services of type LoadBalancer.
#[derive(Parser, Debug)]
#[command(name = "controller", version)]
pub(crate) struct ControllerArgs {
    #[command(flatten)]
    pub(crate) common: CommonFlags,

    /// Name of this pod, for events
    #[arg(long, env = "METALLB_POD_NAME")]
    pub(crate) pod_name: Option<String>,

    /// Name of the Secret for the speakers' key; empty: no key is generated
    #[arg(long, env = "METALLB_ML_SECRET_NAME", default_value = "")]
    pub(crate) ml_secret_name: String,

    /// Name of the Lease by which several replicas elect their leader
    #[arg(long, env = "METALLB_LEASE_NAME", default_value = "lodestone-controller")]
    pub(crate) lease_name: String,

    /// Whether this process allocates addresses, reviews edits of the configuration, or both
    #[arg(long, env = "METALLB_WEBHOOK_MODE", value_enum, default_value_t)]
    pub(crate) webhook_mode: WebhookMode,

    /// Port of the webhook
    #[arg(long, default_value_t = 9443)]
    pub(crate) webhook_port: u16,

    /// Name of the webhook's Secret, Service and ValidatingWebhookConfiguration
    #[arg(long, default_value = "lodestone-webhook")]
    pub(crate) webhook_name: String,

    /// Name of the Deployment of this process, which owns its ConfigurationState; empty: no owner
    #[arg(long, env = "METALLB_DEPLOYMENT", default_value = "")]
    pub(crate) deployment: String,

    /// Port of the HTTP server for /metrics, on all addresses; 0: none
    #[arg(long, default_value_t = 9120)]
    pub(crate) port: u16,

    /// What happens to an address whose pool is deleted, shrunk or closed to its Service
    #[arg(long, value_enum, default_value_t)]
    pub(crate) on_pool_change: OnPoolChangeFlag,
}

impl ControllerArgs {
    /// Whether this process allocates addresses.
    pub(crate) const fn allocates(&self) -> bool {
        !matches!(self.webhook_mode, WebhookMode::OnlyWebhook)
    }

    /// Whether this process reviews edits of the configuration.
    pub(crate) const fn reviews_edits(&self) -> bool {
        !matches!(self.webhook_mode, WebhookMode::Disabled)
    }
}

/// What the process does.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum WebhookMode {
    /// It allocates addresses and reviews edits.
    #[default]
    Enabled,
    /// It allocates addresses.
    Disabled,
    /// It reviews edits.
    // MetalLB's spelling.
    #[value(name = "onlywebhook")]
    OnlyWebhook,
}

/// What happens to an address whose pool is deleted, shrunk or closed to its Service.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum OnPoolChangeFlag {
    /// The Service keeps it until the Service is deleted; no other Service gets it.
    #[default]
    Retain,
    /// The Service gets a different address, if one is available.
    Reassign,
}

impl From<OnPoolChangeFlag> for OnPoolChange {
    fn from(flag: OnPoolChangeFlag) -> Self {
        match flag {
            OnPoolChangeFlag::Retain => Self::Retain,
            OnPoolChangeFlag::Reassign => Self::Reassign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhook_modes_have_metallbs_names() {
        let names = ["enabled", "disabled", "onlywebhook"];
        let modes = names.map(|name| WebhookMode::from_str(name, false).unwrap());
        assert!(matches!(
            modes,
            [WebhookMode::Enabled, WebhookMode::Disabled, WebhookMode::OnlyWebhook]
        ));
    }
}
