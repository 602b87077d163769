//! What users are told: events, and metrics.

use lodestone_tests::{Cluster, NAMESPACE, wait_for, wait_until};
use serde_json::json;

use super::{EXCLUDE, LIMIT, announced, client, cluster, label, six};

/// Waits for an event on a Service that names each of these nodes with why it may not announce.
fn says_of_each(cluster: &Cluster, service: &str, nodes: &[String], why: &str) -> anyhow::Result<()> {
    let field = format!("involvedObject.name={service},reason=announceFailed");
    // A speaker that has just been started may not have been heard at first: then there is another event later.
    wait_for(&format!("{service} to say of each node: {why}"), LIMIT, || {
        let events = cluster.get(&["-n", "default", "events", "--field-selector", &field])?;
        let texts = events["items"].as_array().into_iter().flatten();
        let mut texts = texts.filter_map(|event| event["message"].as_str());
        let each = |text: &str| {
            let of = |node: &String| {
                text.split(&format!("{node}: "))
                    .nth(1)
                    .is_some_and(|rest| said(rest).contains(why))
            };
            nodes.iter().all(of)
        };
        Ok(texts.any(each).then_some(()))
    })
}

/// What is said of one node, which ends where the next one's begins.
fn said(text: &str) -> &str {
    text.split("; ").next().unwrap_or_default()
}

#[test]
fn p4_a_node_that_is_excluded_hands_its_address_over_and_says_why() {
    let cluster = cluster();
    for (name, more) in [("excluded", json!({})), ("excluded-six", six())] {
        let service = announced(&cluster, name, &more);
        label(&cluster, &service.owner, "=");
        let moved = service.moves();
        let event = cluster.event("default", name, "ownerMoved");
        label(&cluster, &service.owner, "-");
        moved.unwrap();
        let event = event.unwrap();
        assert!(event.contains(EXCLUDE), "{event}");
    }
}

#[test]
fn where_all_nodes_are_excluded_the_service_says_so_of_each() {
    let cluster = cluster();
    let _service = announced(&cluster, "nobody", &json!({}));
    let nodes = cluster.spec().nodes();
    nodes.iter().for_each(|node| label(&cluster, node, "="));
    let told = says_of_each(&cluster, "nobody", &nodes, &format!("it has the label {EXCLUDE}"));
    nodes.iter().for_each(|node| label(&cluster, node, "-"));
    told.unwrap();
}

#[test]
fn interfaces_that_helm_excludes_by_name_are_left_alone_and_the_service_says_so() {
    let cluster = cluster();
    let service = announced(&cluster, "by-name", &json!({}));
    // In place of the list that comes along: the bridge of the pods, too.
    let names = "speaker.excludeInterfaces.names={^lan,^eth,^cni,^veth}";
    cluster.upgrade_lodestone(&[names]).unwrap();
    let nodes = cluster.spec().nodes();
    let told = says_of_each(&cluster, "by-name", &nodes, "not excluded by its name");
    let answers = client(&cluster).who_has(&service.address);
    cluster.upgrade_lodestone(&[]).unwrap();
    told.unwrap();
    assert!(answers.unwrap().is_empty());
    service.owner_now().unwrap();
}

#[test]
fn a_speaker_tells_its_metrics() {
    let cluster = cluster();
    let service = announced(&cluster, "metrics", &json!({}));
    let (address, node) = (service.address.clone(), service.owner.clone());
    let fetch = || -> anyhow::Result<String> {
        let pod = cluster.pod_of("speaker", Some(&node))?;
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9120/proxy/metrics");
        cluster.kubectl(&["get", "--raw", &path])
    };
    let says = |what: &str| fetch().is_ok_and(|text| text.lines().any(|line| line.contains(what)));
    let announced = format!("service=\"default/metrics\",protocol=\"layer2\",node=\"{node}\",ip=\"{address}\"}} 1");
    if let Err(error) = wait_until(&format!("the metrics of {node}"), LIMIT, || says(&announced)) {
        panic!(
            "{error:#}; {} owns it; the metrics: {:?}",
            service.owner_now().unwrap(),
            fetch()
        );
    }
    assert!(says(&format!("metallb_layer2_responses_sent{{ip=\"{address}\"}}")));
    // What is gone is gone from them.
    cluster.kubectl(&["delete", "service", "metrics"]).unwrap();
    wait_until("the address to be gone from the metrics", LIMIT, || {
        fetch().is_ok_and(|text| !text.contains(&address))
    })
    .unwrap();
}
