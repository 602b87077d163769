//! Nodes that fail, leave, come and return (promises P1 to P4), and a cluster that falls apart (P5).

use super::*;

#[test]
fn p1_p3_a_node_without_power_is_replaced_in_both_families_and_gets_nothing_back_when_it_returns() {
    let cluster = cluster();
    let service = announced(&cluster, "power", &json!({}));
    let six = announced(&cluster, "power-six", &six());
    let dead = &service.owner;
    cluster.power_off(dead).unwrap();
    let other = service.moves().unwrap();
    // Whoever had the address of the other family, it is not the one without power.
    assert_ne!(six.owner_now().unwrap(), *dead);
    power_on(&cluster, dead);
    for _ in 0..LOOKS {
        assert_eq!(owner(&cluster, &service.address), other);
    }
}

#[test]
fn p2_a_speaker_that_is_killed_goes_on_being_stood_in_for_in_both_families() {
    let cluster = cluster();
    let service = announced(&cluster, "killed", &json!({}));
    let six = announced(&cluster, "killed-six", &six());
    for node in [&service.owner, &six.owner] {
        let pod = cluster.pod_of("speaker", Some(node)).unwrap();
        let process = cluster.process_of_pod(NAMESPACE, &pod).unwrap();
        // It stays away for as long as it is looked: one that is frozen is not started anew.
        process.freeze();
        let owners = [&service, &six].map(Announced::owner_now);
        process.kill();
        process.thaw();
        assert_eq!(
            owners.map(Result::unwrap),
            [&service, &six].map(|service| service.owner.clone())
        );
        cluster.wait_for_lodestone().unwrap();
    }
    stays(&cluster, &service);
}

#[test]
fn p4_a_node_that_is_drained_keeps_its_addresses_and_hands_them_over_when_its_speaker_ends() {
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
    let during = owner(&cluster, &service.address);
    let pod = cluster.pod_of("speaker", Some(&node)).unwrap();
    cluster.kubectl(&["-n", NAMESPACE, "delete", "pod", &pod]).unwrap();
    let other = service.moves().unwrap();
    cluster.wait_for_lodestone().unwrap();
    cluster.kubectl(&["uncordon", &node]).unwrap();
    assert_eq!(during, node, "draining alone moves nothing");
    let event = cluster.event("default", "drained", "ownerMoved").unwrap();
    assert!(
        event.contains(&format!("moves here from node {node}: the node was drained")),
        "{event}"
    );
    for _ in 0..LOOKS {
        assert_eq!(owner(&cluster, &service.address), other);
    }
}

#[test]
fn p4_with_traffic_policy_local_an_address_leaves_a_drained_node_before_its_last_endpoint() {
    let cluster = cluster();
    let service = announced(&cluster, "local", &json!({"externalTrafficPolicy": "Local"}));
    let node = service.owner.clone();
    let drain = ["drain", &node, "--ignore-daemonsets", "--force", "--timeout=60s"];
    cluster.kubectl(&drain).unwrap();
    let other = service.moves().unwrap();
    cluster.kubectl(&["uncordon", &node]).unwrap();
    let answer = client(&cluster).http(&service.address, 80).unwrap();
    assert!(!answer["pod"].is_empty(), "{answer:?}");
    assert_ne!(other, node);
}

#[test]
fn p3_a_node_that_is_removed_and_added_takes_nothing_and_may_own_what_is_new() {
    let cluster = cluster();
    let services: Vec<Announced<'_>> = ["added-a", "added-b"]
        .map(|name| announced(&cluster, name, &json!({})))
        .into();
    let mut free = (1..=5).map(|index| format!("w{index}"));
    let node = free
        .find(|node| services.iter().all(|service| service.owner != *node))
        .unwrap();
    cluster.power_off(&node).unwrap();
    cluster.kubectl(&["delete", "node", &node]).unwrap();
    services.iter().for_each(|service| stays(&cluster, service));
    power_on(&cluster, &node);
    services.iter().for_each(|service| stays(&cluster, service));
    // The others are full by their fair share sooner or later.
    let names = ["added-c", "added-d", "added-e", "added-f"];
    let more: Vec<Announced<'_>> = names.map(|name| announced(&cluster, name, &json!({}))).into();
    assert!(
        more.iter().any(|service| service.owner == node),
        "{node} owns none of the new ones"
    );
}

#[test]
fn p5_two_halves_each_have_an_owner_and_one_is_left_when_they_are_joined() {
    let cluster = cluster();
    let service = announced(&cluster, "parted", &json!({}));
    let mut others = (1..=5)
        .map(|index| format!("w{index}"))
        .filter(|node| *node != service.owner);
    let beside = others.next().unwrap();
    let apart = [service.owner.as_str(), &beside, "client2"];
    cluster.part(&apart).unwrap();
    let here = wait_until("another owner on this side", LIMIT, || {
        let macs = client(&cluster).who_has(&service.address).unwrap();
        let old = cluster.host(&service.owner).mac("eth0").unwrap();
        macs.len() == 1 && !macs.contains(&old)
    });
    let there = cluster.host("client2").who_has(&service.address);
    cluster.join(&apart).unwrap();
    here.unwrap();
    let old = cluster.host(&service.owner).mac("eth0").unwrap();
    assert_eq!(there.unwrap(), [old].into(), "the owner goes on on its side");
    all_hear_all(&cluster);
    // One is left for both clients, and stays.
    let left = owner(&cluster, &service.address);
    for _ in 0..LOOKS {
        assert_eq!(owner(&cluster, &service.address), left);
    }
    let mac = cluster.host(&left).mac("eth0").unwrap();
    assert_eq!(cluster.host("client2").who_has(&service.address).unwrap(), [mac].into());
    client(&cluster).http(&service.address, 80).unwrap();
}
