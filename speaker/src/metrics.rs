//! The speaker's metrics. They are made anew from what the core knows at the moment that they are asked for: they can't drift, and what is
//! gone is gone from them.

use std::{net::IpAddr, sync::atomic::AtomicU64, time::Instant};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::core::Speaker;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Announced {
    service: String,
    protocol: &'static str,
    node: String,
    ip: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAddress {
    ip: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProtocol {
    protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfNode {
    node: String,
}

/// All metrics, in the text format of OpenMetrics.
#[must_use]
pub fn text(speaker: &Speaker, refused: u64, now: Instant) -> String {
    let mut registry = Registry::default();
    announced(&mut registry, speaker);
    layer2(&mut registry, speaker);
    health(&mut registry, speaker, refused);
    peers(&mut registry, speaker, now);
    let mut text = String::new();
    // It writes into memory.
    let _ = encode(&mut text, &registry);
    text
}

fn announced(registry: &mut Registry, speaker: &Speaker) {
    let announced = Family::<Announced, Gauge>::default();
    for owned in speaker.announced() {
        for service in &owned.services {
            let labels = Announced {
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
        "Addresses that this node announces",
        announced,
    );
    let gauge = |value: bool| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value.into());
        gauge
    };
    registry.register(
        "metallb_k8s_client_config_loaded_bool",
        "1 when the configuration has been read",
        gauge(speaker.is_configured()),
    );
    registry.register(
        "metallb_k8s_client_config_stale_bool",
        "1 when an object of configuration is not in use because something is wrong with it",
        gauge(speaker.has_refused_configuration()),
    );
}

/// Under MetalLB's names, which counters of this format can't have: they would end in `_total`.
fn layer2(registry: &mut Registry, speaker: &Speaker) {
    type PerAddress = Family<OfAddress, Gauge<u64, AtomicU64>>;
    let (requests, responses, gratuitous) = (PerAddress::default(), PerAddress::default(), PerAddress::default());
    for (address, traffic) in &speaker.counts().traffic {
        let of = |address: &IpAddr| OfAddress {
            ip: address.to_string(),
        };
        requests.get_or_create(&of(address)).set(traffic.requests);
        responses.get_or_create(&of(address)).set(traffic.responses);
        gratuitous.get_or_create(&of(address)).set(traffic.gratuitous);
    }
    let name = |what: &str| format!("metallb_layer2_{what}");
    registry.register(
        name("requests_received"),
        "ARP and NDP requests for addresses that this node announces",
        requests,
    );
    registry.register(name("responses_sent"), "Answers to them", responses);
    registry.register(name("gratuitous_sent"), "Packets that were sent unasked", gratuitous);
}

fn health(registry: &mut Registry, speaker: &Speaker, refused: u64) {
    let counts = speaker.counts();
    let counter = |value: u64| {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        counter
    };
    let taken = Family::<OfCause, Counter>::default();
    for (cause, times) in &counts.taken {
        taken.get_or_create(&OfCause { cause }).inc_by(*times);
    }
    registry.register(
        "lodestone_speaker_addresses_taken",
        "Addresses that this node has taken, by cause",
        taken,
    );
    let malformed = Family::<OfProtocol, Counter>::default();
    for (protocol, times) in ["arp", "ndp"].into_iter().zip(counts.malformed) {
        malformed.get_or_create(&OfProtocol { protocol }).inc_by(times);
    }
    registry.register(
        "lodestone_speaker_malformed_frames",
        "Frames that were dropped",
        malformed,
    );
    for (name, help, value) in [
        (
            "doubts",
            "Speakers that this node watches and that were late",
            counts.doubts,
        ),
        (
            "suspicions",
            "Speakers that this node watches and that were silent",
            counts.suspicions,
        ),
        ("wire_checks", "Nodes that were asked after on the wire", counts.checks),
        (
            "stood_in",
            "Addresses that this node began to answer for in place of another",
            counts.stood_in,
        ),
        (
            "conflicts",
            "Foreign hosts that used an address of this node",
            speaker.conflicts(),
        ),
        (
            "refused_messages",
            "Messages that came to the speakers' port and are under another key, or no messages at all",
            refused,
        ),
    ] {
        registry.register(format!("lodestone_speaker_{name}"), help, counter(value));
    }
}

fn peers(registry: &mut Registry, speaker: &Speaker, now: Instant) {
    let (silent, loss) = (
        Family::<OfNode, Gauge>::default(),
        Family::<OfNode, Gauge<f64, AtomicU64>>::default(),
    );
    for (node, is_silent, lost) in speaker.peers(now) {
        let node = OfNode { node: node.to_string() };
        silent.get_or_create(&node).set(is_silent.into());
        if let Some(lost) = lost {
            loss.get_or_create(&node).set(lost);
        }
    }
    registry.register(
        "lodestone_speaker_peer_silent",
        "1 for speakers that are not heard",
        silent,
    );
    registry.register(
        "lodestone_speaker_peer_loss",
        "How much of what watched speakers say is lost, from 0 to 1",
        loss,
    );
}

#[cfg(test)]
mod tests {
    use crate::core::{Kind, Settings, speaker::tests::alone};

    use super::*;

    #[test]
    fn metrics_have_metallbs_names_and_tell_what_is_so_now() {
        let (mut speaker, now, request) = alone();
        assert!(speaker.frame(now, 1, Kind::Arp, &request).is_some());
        assert!(speaker.frame(now, 1, Kind::Arp, &request[..20]).is_none());
        let text = text(&speaker, 3, now);
        for line in [
            "metallb_speaker_announced{service=\"n/192.0.2.1\",protocol=\"layer2\",node=\"a\",ip=\"192.0.2.1\"} 1",
            "metallb_layer2_requests_received{ip=\"192.0.2.1\"} 1",
            "metallb_layer2_responses_sent{ip=\"192.0.2.1\"} 1",
            "metallb_k8s_client_config_loaded_bool 1",
            "lodestone_speaker_addresses_taken_total{cause=\"new\"} 1",
            "lodestone_speaker_malformed_frames_total{protocol=\"arp\"} 1",
            "lodestone_speaker_conflicts_total 0",
            "lodestone_speaker_refused_messages_total 3",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
        let gratuitous = text
            .lines()
            .find(|line| line.starts_with("metallb_layer2_gratuitous_sent{"));
        assert!(gratuitous.is_some_and(|line| !line.ends_with(" 0")), "{gratuitous:?}");
    }

    #[test]
    fn a_speaker_that_knows_nothing_says_so() {
        let now = lodestone_runtime::clock::now();
        let text = text(&Speaker::new(now, "a".into(), Settings::default()), 0, now);
        assert!(
            text.contains("metallb_k8s_client_config_loaded_bool 0") && !text.contains("metallb_speaker_announced{")
        );
    }
}
