//! What the speakers report: events and metrics.

use lodestone_tests::{Cluster, wait_for, wait_until};
use serde_json::json;

use super::{EXCLUDE, exclude, include};
use crate::support::{LIMIT, announced, client, ipv6_only, speaker_metrics};

/// Waits for an event on a Service that gives `reason` for each of these nodes.
fn wait_for_reason(cluster: &Cluster, service: &str, nodes: &[String], reason: &str) -> anyhow::Result<()> {
    let field = format!("involvedObject.name={service},reason=AnnounceFailed");
    // The first event may give another reason for a speaker that has just started; another event
    // follows.
    wait_for(
        &format!("an event on {service} that says of each node: {reason}"),
        LIMIT,
        || {
            let events = cluster.get(&["-n", "default", "events", "--field-selector", &field])?;
            let texts = events["items"].as_array().into_iter().flatten();
            let mut texts = texts.filter_map(|event| event["message"].as_str());
            let gives_reason = |text: &str| {
                nodes.iter().all(|node| {
                    // "... NODE: reason; NODE: reason"
                    let rest = text.split(&format!("{node}: ")).nth(1);
                    let found = rest.and_then(|rest| rest.split("; ").next());
                    found.is_some_and(|found| found.contains(reason))
                })
            };
            Ok(texts.any(gives_reason).then_some(()))
        },
    )
}

pub(crate) fn p4_excluded_node_hands_its_address_over_and_says_why(cluster: &Cluster) {
    for (name, more) in [("excluded", json!({})), ("excluded-six", ipv6_only())] {
        let service = announced(cluster, name, &more);
        exclude(cluster, &service.owner);
        let moved = service.wait_for_move();
        let event = cluster.wait_for_event("default", name, "OwnerMoved");
        include(cluster, &service.owner);
        moved.unwrap();
        let event = event.unwrap();
        assert!(event.contains(EXCLUDE), "{event}");
    }
}

pub(crate) fn service_without_an_eligible_node_reports_the_reason_of_each_node(cluster: &Cluster) {
    let _service = announced(cluster, "nobody", &json!({}));
    let nodes = cluster.spec().nodes();
    nodes.iter().for_each(|node| exclude(cluster, node));
    let reported = wait_for_reason(cluster, "nobody", &nodes, &format!("it has the label {EXCLUDE}"));
    nodes.iter().for_each(|node| include(cluster, node));
    reported.unwrap();
}

pub(crate) fn interfaces_excluded_by_a_helm_value_announce_nothing(cluster: &Cluster) {
    let service = announced(cluster, "by-name", &json!({}));
    // This replaces the default list, so it names the interfaces of the pods again.
    let names = "speaker.excludeInterfaces.names={^lan,^eth,^cni,^veth}";
    cluster.upgrade_lodestone(&[names]).unwrap();
    let nodes = cluster.spec().nodes();
    let reported = wait_for_reason(cluster, "by-name", &nodes, "not excluded");
    let answers = client(cluster).who_has(&service.address);
    cluster.upgrade_lodestone(&[]).unwrap();
    reported.unwrap();
    assert!(answers.unwrap().is_empty());
    service.current_owner().unwrap();
}

pub(crate) fn metrics_show_announced_addresses_and_forget_deleted_ones(cluster: &Cluster) {
    let service = announced(cluster, "metrics", &json!({}));
    let (address, node) = (service.address.clone(), service.owner.clone());
    let fetch = || speaker_metrics(cluster, &node);
    let has_line = |what: &str| fetch().is_ok_and(|text| text.lines().any(|line| line.contains(what)));
    let announced = format!("service=\"default/metrics\",protocol=\"layer2\",node=\"{node}\",ip=\"{address}\"}} 1");
    if let Err(error) = wait_until(&format!("the metrics of {node}"), LIMIT, || has_line(&announced)) {
        panic!(
            "{error:#}; {} is the owner; the metrics: {:?}",
            service.current_owner().unwrap(),
            fetch()
        );
    }
    assert!(has_line(&format!("metallb_layer2_responses_sent{{ip=\"{address}\"}}")));
    // A deleted address disappears from the metrics.
    cluster.kubectl(&["delete", "service", "metrics"]).unwrap();
    wait_until("the address to be gone from the metrics", LIMIT, || {
        fetch().is_ok_and(|text| !text.contains(&address))
    })
    .unwrap();
}
