//! The promises on nodes with more than one interface: an overlay device, a second network, two
//! ports on one segment. A host on the LAN asks for the address through the whole test.

use std::time::Duration;

use lodestone_tests::{AnnouncedService, Cluster, Layout, NAMESPACE, Spec, images};
use serde_json::json;

use crate::support::{Answers, DEPUTY_GAP, TAKEOVER_GAP, announced, cluster_program, speaker_logs, watch_answers};

/// Starts a cluster of three nodes with this layout, and Lodestone.
fn start(prefix: &str, layout: Layout) -> Cluster {
    let spec = Spec::unique(prefix).workers(2).images(images().unwrap());
    let cluster = Cluster::up(spec.layout(layout), cluster_program()).unwrap();
    cluster.install_lodestone(&[]).unwrap();
    cluster.apply_quickstart().unwrap();
    cluster
}

/// Watches the answers for a Service while something happens to its owner.
fn watch(cluster: &Cluster, service: &AnnouncedService<'_>, work: impl FnOnce(&str)) -> Answers {
    let owner = service.current_owner().unwrap();
    watch_answers(cluster, &service.address, || work(&owner))
}

/// Asserts that nobody answered for less than `gap`, and that this many MACs were in the answers.
fn assert_answered(cluster: &Cluster, answers: &Answers, gap: Duration, macs: usize) {
    answers.assert_gap(cluster, gap);
    assert_eq!(answers.macs.len(), macs, "{answers:?}\n{}", speaker_logs(cluster));
}

#[test]
fn p2_speaker_killed_beside_an_overlay_device_moves_nothing() {
    let cluster = start("so", Layout::Overlay);
    let service = announced(&cluster, "overlay", &json!({}));
    for _ in 0..2 {
        let before = service.current_owner().unwrap();
        let answers = watch(&cluster, &service, |owner| {
            let pod = cluster.pod_of("speaker", Some(owner)).unwrap();
            cluster.process_of_pod(NAMESPACE, &pod).unwrap().kill();
        });
        assert_answered(&cluster, &answers, DEPUTY_GAP, 1);
        assert_eq!(service.current_owner().unwrap(), before);
        cluster.wait_for_lodestone().unwrap();
    }
}

#[test]
fn p1_port_that_stops_forwarding_beside_a_second_network_is_replaced() {
    let cluster = start("ss", Layout::Storage);
    let service = announced(&cluster, "storage", &json!({}));
    let before = service.current_owner().unwrap();
    let answers = watch(&cluster, &service, |owner| {
        cluster.set_forwarding(owner, false).unwrap();
    });
    assert_answered(&cluster, &answers, TAKEOVER_GAP, 2);
    assert_ne!(service.current_owner().unwrap(), before);
    let answers = watch(&cluster, &service, |_| {
        cluster.set_forwarding(&before, true).unwrap();
    });
    assert_answered(&cluster, &answers, DEPUTY_GAP, 1);
}

#[test]
fn p5_second_port_on_the_lan_adds_no_second_mac_to_the_answers() {
    for (prefix, layout) in [("sp", Layout::SecondPort), ("sa", Layout::SecondPortWithAddress)] {
        let cluster = start(prefix, layout);
        let service = announced(&cluster, "ports", &json!({}));
        let answers = watch(&cluster, &service, |_| {});
        assert_answered(&cluster, &answers, DEPUTY_GAP, 1);
        let mut cut = String::new();
        let answers = watch(&cluster, &service, |owner| {
            cluster.set_carrier(owner, false).unwrap();
            cut = owner.to_owned();
        });
        cluster.set_carrier(&cut, true).unwrap();
        assert_answered(&cluster, &answers, TAKEOVER_GAP, 2);
    }
}
