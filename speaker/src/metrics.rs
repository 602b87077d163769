//! The speaker's metrics.
//!
//! Each scrape builds them from the state of the core. They cannot drift, and they have no series
//! for addresses and peers that are gone.

use std::{net::IpAddr, sync::atomic::AtomicU64, time::Instant};

use lodestone_speaker_core::Speaker;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnnouncedLabels {
    service: String,
    protocol: &'static str,
    node: String,
    ip: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AddressLabels {
    ip: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolLabels {
    protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabels {
    node: String,
}

/// What the shell counts, which the core does not see.
#[derive(Debug)]
pub(crate) struct ShellCounters {
    /// Datagrams from peers that were refused.
    pub(crate) refused: u64,
    /// Frames that the kernel dropped because the speaker did not read them in time.
    pub(crate) dropped_frames: u64,
}

/// Returns all metrics in the OpenMetrics text format.
#[must_use]
pub(crate) fn text(speaker: &Speaker, shell: &ShellCounters, now: Instant) -> String {
    let mut registry = Registry::default();
    register_announced(&mut registry, speaker);
    register_configuration(&mut registry, speaker);
    register_traffic(&mut registry, speaker);
    register_labelled_counters(&mut registry, speaker);
    register_counters(&mut registry, speaker, shell);
    register_peers(&mut registry, speaker, now);
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = encode(&mut text, &registry);
    text
}

fn register_announced(registry: &mut Registry, speaker: &Speaker) {
    let announced = Family::<AnnouncedLabels, Gauge>::default();
    for owned in speaker.announced_addresses() {
        for service in &owned.services {
            let labels = AnnouncedLabels {
                service: service.to_string(),
                protocol: "layer2",
                node: speaker.node().to_string(),
                ip: owned.address.to_string(),
            };
            announced.get_or_create(&labels).set(1);
        }
    }
    registry.register(
        "metallb_speaker_announced",
        "1 for each address of a Service that this node announces",
        announced,
    );
}

fn register_configuration(registry: &mut Registry, speaker: &Speaker) {
    let gauge = |value: bool| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value.into());
        gauge
    };
    registry.register(
        "metallb_k8s_client_config_loaded_bool",
        "1 once the configuration is loaded",
        gauge(speaker.is_configured()),
    );
    registry.register(
        "metallb_k8s_client_config_stale_bool",
        "1 while an object of the configuration is not in use because it is invalid",
        gauge(speaker.has_refused_configuration()),
    );
}

/// MetalLB's names for these counters do not end in `_total`. A counter of this text format must,
/// so they are gauges.
fn register_traffic(registry: &mut Registry, speaker: &Speaker) {
    type PerAddress = Family<AddressLabels, Gauge<u64, AtomicU64>>;
    let (requests, responses, gratuitous) = (PerAddress::default(), PerAddress::default(), PerAddress::default());
    for (address, traffic) in &speaker.stats().traffic {
        let labels = |address: &IpAddr| AddressLabels {
            ip: address.to_string(),
        };
        requests.get_or_create(&labels(address)).set(traffic.requests);
        responses.get_or_create(&labels(address)).set(traffic.responses);
        gratuitous.get_or_create(&labels(address)).set(traffic.gratuitous);
    }
    registry.register(
        "metallb_layer2_requests_received",
        "ARP and NDP requests for an address that this node announces",
        requests,
    );
    registry.register(
        "metallb_layer2_responses_sent",
        "Answers to ARP and NDP requests",
        responses,
    );
    registry.register(
        "metallb_layer2_gratuitous_sent",
        "Gratuitous ARP packets and unsolicited neighbor advertisements sent",
        gratuitous,
    );
}

fn register_labelled_counters(registry: &mut Registry, speaker: &Speaker) {
    let stats = speaker.stats();
    let taken = Family::<CauseLabels, Counter>::default();
    for (cause, times) in &stats.acquisitions {
        taken.get_or_create(&CauseLabels { cause }).inc_by(*times);
    }
    registry.register(
        "lodestone_speaker_addresses_taken",
        "Addresses that this node has taken, by cause",
        taken,
    );
    let malformed = Family::<ProtocolLabels, Counter>::default();
    for (protocol, times) in [("arp", stats.malformed.arp), ("ndp", stats.malformed.ndp)] {
        malformed.get_or_create(&ProtocolLabels { protocol }).inc_by(times);
    }
    registry.register(
        "lodestone_speaker_malformed_frames",
        "Frames dropped because they do not parse",
        malformed,
    );
}

fn register_counters(registry: &mut Registry, speaker: &Speaker, shell: &ShellCounters) {
    let stats = speaker.stats();
    for (name, help, value) in [
        ("suspect", "Watched peers marked suspect", stats.suspects),
        ("failed", "Watched peers marked failed", stats.failures),
        (
            "reachability_checks",
            "Reachability checks begun",
            stats.reachability_checks,
        ),
        (
            "deputy_activations",
            "Addresses that this node began to answer for as deputy",
            stats.deputy_activations,
        ),
        (
            "conflicts",
            "Conflicts with foreign hosts that use an address of this node",
            speaker.conflict_count(),
        ),
        (
            "refused_messages",
            "Datagrams on the speakers' port that do not open under a known key, or are not a message",
            shell.refused,
        ),
        (
            "dropped_frames",
            "ARP and NDP frames lost because the speaker did not read them in time",
            shell.dropped_frames,
        ),
    ] {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        registry.register(format!("lodestone_speaker_{name}"), help, counter);
    }
}

fn register_peers(registry: &mut Registry, speaker: &Speaker, now: Instant) {
    let heard = Family::<NodeLabels, Gauge>::default();
    let loss = Family::<NodeLabels, Gauge<f64, AtomicU64>>::default();
    for peer in speaker.peers(now) {
        let labels = NodeLabels {
            node: peer.node.to_string(),
        };
        heard.get_or_create(&labels).set(peer.is_heard.into());
        if let Some(lost) = peer.loss {
            loss.get_or_create(&labels).set(lost);
        }
    }
    registry.register(
        "lodestone_speaker_peer_heard",
        "1 while the peer is heard on any path",
        heard,
    );
    registry.register(
        "lodestone_speaker_peer_loss",
        "Share of a watched peer's messages that is lost, from 0 to 1",
        loss,
    );
}

#[cfg(test)]
mod tests {
    use lodestone_speaker_core::{FrameKind, InterfaceIndex, Settings, testing::announcing_speaker};

    use super::*;

    #[test]
    fn metrics_have_their_public_names_and_current_values() {
        let (mut speaker, now, request) = announcing_speaker();
        assert!(
            speaker
                .handle_frame(now, InterfaceIndex(1), FrameKind::Arp, &request)
                .is_some()
        );
        assert!(
            speaker
                .handle_frame(now, InterfaceIndex(1), FrameKind::Arp, &request[..20])
                .is_none()
        );
        let shell = ShellCounters {
            refused: 3,
            dropped_frames: 4,
        };
        let text = text(&speaker, &shell, now);
        for line in [
            "metallb_speaker_announced{service=\"n/192.0.2.1\",protocol=\"layer2\",node=\"a\",ip=\"192.0.2.1\"} 1",
            "metallb_layer2_requests_received{ip=\"192.0.2.1\"} 1",
            "metallb_layer2_responses_sent{ip=\"192.0.2.1\"} 1",
            "metallb_k8s_client_config_loaded_bool 1",
            "lodestone_speaker_addresses_taken_total{cause=\"new\"} 1",
            "lodestone_speaker_malformed_frames_total{protocol=\"arp\"} 1",
            "lodestone_speaker_suspect_total 0",
            "lodestone_speaker_failed_total 0",
            "lodestone_speaker_reachability_checks_total 0",
            "lodestone_speaker_deputy_activations_total 0",
            "lodestone_speaker_conflicts_total 0",
            "lodestone_speaker_refused_messages_total 3",
            "lodestone_speaker_dropped_frames_total 4",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
        let gratuitous = text
            .lines()
            .find(|line| line.starts_with("metallb_layer2_gratuitous_sent{"));
        assert!(gratuitous.is_some_and(|line| !line.ends_with(" 0")), "{gratuitous:?}");
    }

    #[test]
    fn new_speaker_has_no_configuration_and_no_address() {
        let now = lodestone_runtime::clock::now();
        let shell = ShellCounters {
            refused: 0,
            dropped_frames: 0,
        };
        let text = text(&Speaker::new(now, "a".into(), Settings::default()), &shell, now);
        assert!(text.contains("metallb_k8s_client_config_loaded_bool 0"), "{text}");
        assert!(!text.contains("metallb_speaker_announced{"), "{text}");
    }
}
