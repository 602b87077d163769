//! The flags of the speaker.

use std::{
    net::{Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use clap::{
    Parser,
    builder::{PossibleValuesParser, TypedValueParser},
};
use lodestone_runtime::flags::CommonFlags;
use lodestone_speaker_core::{
    ConflictDetectionMode, DEFAULT_PATTERNS, DeputyMode, InterfacePattern, OwnershipMode, Settings,
};

use crate::kubernetes::owner_pod::OwnerPod;

/// Announces the addresses of Services on the LAN, with one owner for each address.
#[derive(Parser, Debug)]
#[command(name = "speaker", version)]
pub struct SpeakerArgs {
    /// The flags that the controller has, too.
    #[command(flatten)]
    pub common: CommonFlags,

    /// Name of the node that this speaker runs on
    #[arg(long, env = "METALLB_NODE_NAME")]
    pub(crate) node_name: String,

    /// Name of this pod, which owns the status objects that the speaker writes
    #[arg(long, env = "METALLB_POD_NAME")]
    pub(crate) pod_name: Option<String>,

    /// UID of this pod
    #[arg(long, env = "METALLB_POD_UID")]
    pub(crate) pod_uid: Option<String>,

    /// UDP port for messages between speakers
    #[arg(long, env = "METALLB_ML_BIND_PORT", default_value_t = 7947)]
    pub(crate) ml_bindport: u16,

    /// Name of the Secret with the key that seals messages between speakers
    #[arg(long, env = "METALLB_ML_SECRET_NAME")]
    pub(crate) ml_secret_name: String,

    /// Announce also from nodes with the label
    /// node.kubernetes.io/exclude-from-external-load-balancers
    #[arg(long, env = "METALLB_IGNORE_EXCLUDE_LB")]
    pub(crate) ignore_exclude_lb: bool,

    /// When a deputy answers ARP/NDP with the owner's MAC on behalf of a failed speaker
    #[arg(long, default_value_t, value_parser = modes::<DeputyMode>(DeputyMode::NAMES))]
    pub(crate) deputy: DeputyMode,

    /// Whether an address stays with its owner (sticky), or returns to the first node in MetalLB's
    /// order when that node is back (hash)
    #[arg(long, default_value_t, value_parser = modes::<OwnershipMode>(OwnershipMode::NAMES))]
    pub(crate) ownership: OwnershipMode,

    /// Whether to probe new addresses, and to defend announced ones against hosts outside the
    /// cluster (on), or to announce at once (off)
    #[arg(long, default_value_t, value_parser = modes::<ConflictDetectionMode>(ConflictDetectionMode::NAMES))]
    pub(crate) conflict_detection: ConflictDetectionMode,

    /// Seconds that a speaker may be down while its node lives, before its addresses move to other
    /// nodes; 0 moves them at once
    #[arg(long, default_value_t = 60)]
    pub(crate) speaker_down_limit: u64,

    /// Never announce on interfaces whose names match this regular expression; may be repeated, and
    /// replaces MetalLB's list
    #[arg(long, value_name = "REGEX", default_values = DEFAULT_PATTERNS)]
    pub(crate) exclude: Vec<InterfacePattern>,

    /// Port of the HTTP server for /metrics, on all addresses of the node; 0 disables it
    #[arg(long, default_value_t = 9120)]
    pub(crate) port: u16,

    /// Seconds between two gratuitous announcements of an owned address; 0 announces only after a
    /// takeover
    #[arg(long, default_value_t = 60)]
    pub(crate) announce_interval: u64,
}

impl SpeakerArgs {
    /// The address of the metrics server; `None` if it is disabled.
    pub(crate) fn metrics_address(&self) -> Option<SocketAddr> {
        (self.port != 0).then(|| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), self.port))
    }

    /// The settings of the core.
    pub(crate) const fn settings(&self) -> Settings {
        Settings {
            deputy: self.deputy,
            ownership: self.ownership,
            conflict_detection: self.conflict_detection,
            speaker_down_limit: Duration::from_secs(self.speaker_down_limit),
            announce_interval: Duration::from_secs(self.announce_interval),
        }
    }

    /// This pod, as the owner of objects; `None` unless the flags give both its name and its UID.
    pub(crate) fn owner_pod(&self) -> Option<OwnerPod> {
        let (name, uid) = self.pod_name.clone().zip(self.pod_uid.clone())?;
        Some(OwnerPod { name, uid })
    }
}

/// A parser for a flag that takes one of `names`. It lists them in `--help` and in errors.
fn modes<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: std::error::Error + Send + Sync> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name: String| name.parse::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<SpeakerArgs, clap::Error> {
        let required = ["speaker", "--node-name=a", "--ml-secret-name=s"];
        SpeakerArgs::try_parse_from(required.iter().chain(flags))
    }

    #[test]
    fn modes_are_parsed_and_unknown_ones_are_refused() {
        let args = parse(&["--deputy=always", "--ownership=hash", "--announce-interval=5"]).unwrap();
        let settings = args.settings();
        assert_eq!(settings.deputy, DeputyMode::Always);
        assert_eq!(settings.ownership, OwnershipMode::Hash);
        assert_eq!(settings.announce_interval, Duration::from_secs(5));
        assert_eq!(settings.conflict_detection, ConflictDetectionMode::On);
        let off = parse(&["--conflict-detection=off"]).unwrap().settings();
        assert_eq!(off.conflict_detection, ConflictDetectionMode::Off);
        let error = parse(&["--deputy=doubt"]).unwrap_err().to_string();
        assert!(error.contains("on-suspect, always, off"), "{error}");
    }

    #[test]
    fn any_number_of_seconds_is_a_limit_for_a_speaker_that_is_down() {
        for (flags, seconds) in [
            (&[][..], 60),
            (&["--speaker-down-limit=0"], 0),
            (&["--speaker-down-limit=18446744073709551615"], u64::MAX),
        ] {
            let settings = parse(flags).unwrap().settings();
            assert_eq!(settings.speaker_down_limit, Duration::from_secs(seconds));
        }
        assert!(parse(&["--speaker-down-limit=-1"]).is_err());
    }

    #[test]
    fn port_zero_disables_the_metrics_server() {
        assert_eq!(
            parse(&[]).unwrap().metrics_address().map(|address| address.port()),
            Some(9120)
        );
        assert_eq!(parse(&["--port=0"]).unwrap().metrics_address(), None);
    }
}
