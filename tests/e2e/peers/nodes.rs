//! Nodes that fail, leave, join and return (promises P1 to P4), and a partitioned network (P5).

use lodestone_tests::{AnnouncedService, NAMESPACE, wait_until};
use serde_json::json;

use super::{assert_nothing_moves, assert_owner, cluster, power_on, wait_until_all_are_heard};
use crate::support::{LIMIT, announced, client, ipv6_only, watch_answers};

#[test]
fn p1_p3_power_loss_moves_both_families_and_nothing_returns() {
    let cluster = cluster();
    let service = announced(&cluster, "power", &json!({}));
    let six = announced(&cluster, "power-six", &ipv6_only());
    for (owned, dead) in [(&service, service.owner.clone()), (&six, six.current_owner().unwrap())] {
        let answers = watch_answers(&cluster, &owned.address, || cluster.power_off(&dead).unwrap());
        answers.assert_takeover(&cluster);
        let other = owned.current_owner().unwrap();
        assert_ne!(other, dead);
        power_on(&cluster, &dead);
        assert_owner(&cluster, owned, &other);
    }
}

#[test]
fn p2_deputy_answers_for_a_killed_speaker_in_both_families() {
    let cluster = cluster();
    let service = announced(&cluster, "killed", &json!({}));
    let six = announced(&cluster, "killed-six", &ipv6_only());
    for node in [&service.owner, &six.owner] {
        let pod = cluster.pod_of("speaker", Some(node)).unwrap();
        let process = cluster.process_of_pod(NAMESPACE, &pod).unwrap();
        // Kubernetes does not restart a frozen speaker, so it stays away while both owners are
        // read.
        process.freeze();
        let owners = [&service, &six].map(AnnouncedService::current_owner);
        process.kill();
        process.thaw();
        assert_eq!(
            owners.map(Result::unwrap),
            [&service, &six].map(|service| service.owner.clone())
        );
        cluster.wait_for_lodestone().unwrap();
    }
    assert_owner(&cluster, &service, &service.owner);
}

#[test]
fn p4_drained_node_hands_its_addresses_over_when_its_speaker_ends() {
    let cluster = cluster();
    let service = announced(&cluster, "drained", &json!({}));
    let node = service.owner.clone();
    let drain = [
        "drain",
        &node,
        "--ignore-daemonsets",
        "--force",
        "--delete-emptydir-data",
        "--timeout=60s",
    ];
    cluster.kubectl(&drain).unwrap();
    let during = service.current_owner().unwrap();
    let pod = cluster.pod_of("speaker", Some(&node)).unwrap();
    cluster.kubectl(&["-n", NAMESPACE, "delete", "pod", &pod]).unwrap();
    let other = service.wait_for_move().unwrap();
    cluster.wait_for_lodestone().unwrap();
    cluster.kubectl(&["uncordon", &node]).unwrap();
    assert_eq!(during, node, "draining alone moves no address");
    let event = cluster.wait_for_event("default", "drained", "OwnerMoved").unwrap();
    assert!(
        event.contains(&format!("from node {node}: the former owner handed it over")),
        "{event}"
    );
    assert_owner(&cluster, &service, &other);
}

#[test]
fn p4_local_service_is_answered_by_another_node_after_a_drain() {
    let cluster = cluster();
    let service = announced(&cluster, "local", &json!({"externalTrafficPolicy": "Local"}));
    let node = service.owner.clone();
    let drain = ["drain", &node, "--ignore-daemonsets", "--force", "--timeout=60s"];
    cluster.kubectl(&drain).unwrap();
    let other = service.wait_for_move().unwrap();
    cluster.kubectl(&["uncordon", &node]).unwrap();
    let answer = client(&cluster).http(&service.address, 80).unwrap();
    assert!(!answer["pod"].is_empty(), "{answer:?}");
    assert_ne!(other, node);
}

#[test]
fn p3_node_removed_and_added_again_owns_new_addresses_only() {
    let cluster = cluster();
    let services: Vec<AnnouncedService<'_>> = ["added-a", "added-b"]
        .map(|name| announced(&cluster, name, &json!({})))
        .into();
    let mut free = (1..=5).map(|index| format!("w{index}"));
    let node = free
        .find(|node| services.iter().all(|service| service.owner != *node))
        .unwrap();
    cluster.power_off(&node).unwrap();
    cluster.kubectl(&["delete", "node", &node]).unwrap();
    assert_nothing_moves(&cluster, &services);
    power_on(&cluster, &node);
    assert_nothing_moves(&cluster, &services);
    // The fair share of the other nodes is limited, so the node gets one of these.
    let names = ["added-c", "added-d", "added-e", "added-f"];
    let more: Vec<AnnouncedService<'_>> = names.map(|name| announced(&cluster, name, &json!({}))).into();
    assert!(
        more.iter().any(|service| service.owner == node),
        "{node} owns none of the new addresses"
    );
}

#[test]
fn p5_each_side_of_a_partition_has_an_owner_and_one_remains_after_it() {
    let cluster = cluster();
    let service = announced(&cluster, "partition", &json!({}));
    let mut others = (1..=5)
        .map(|index| format!("w{index}"))
        .filter(|node| *node != service.owner);
    let neighbour = others.next().unwrap();
    let side = [service.owner.as_str(), &neighbour, "client2"];
    cluster.partition(&side).unwrap();
    let here = wait_until("another owner on the side of client1", LIMIT, || {
        let macs = client(&cluster).who_has(&service.address).unwrap();
        let old = cluster.host(&service.owner).mac("eth0").unwrap();
        macs.len() == 1 && !macs.contains(&old)
    });
    let there = cluster.host("client2").who_has(&service.address);
    cluster.end_partition(&side).unwrap();
    here.unwrap();
    let old = cluster.host(&service.owner).mac("eth0").unwrap();
    assert_eq!(there.unwrap(), [old].into(), "the owner keeps the address on its side");
    wait_until_all_are_heard(&cluster);
    // Both clients see the same single owner, and it stays.
    let remaining = service.current_owner().unwrap();
    assert_owner(&cluster, &service, &remaining);
    let mac = cluster.host(&remaining).mac("eth0").unwrap();
    assert_eq!(cluster.host("client2").who_has(&service.address).unwrap(), [mac].into());
    client(&cluster).http(&service.address, 80).unwrap();
}
