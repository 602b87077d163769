//! Speakers that start at different times: what the first one takes is spread.

use super::*;

/// This many addresses, all of the pool of the fixture.
fn addresses(count: u8) -> Vec<String> {
    (1..=count).map(|host| format!("192.0.2.{host}")).collect()
}

/// A cluster with the speaker of node `a` only; the others have not started yet.
fn cluster_with_one_speaker(nodes: &[&str], addresses: &[String]) -> VirtualCluster {
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut world = VirtualCluster::new(nodes, &addresses);
    for node in &nodes[1..] {
        world.kill(&(*node).into());
    }
    world
}

/// How many addresses each node owns. Panics if an address has no owner, or several.
fn shares(world: &VirtualCluster, addresses: &[String]) -> BTreeMap<NodeName, usize> {
    let mut shares = BTreeMap::new();
    for address in addresses {
        *shares.entry(world.owner(address)).or_default() += 1;
    }
    shares
}

/// Runs for a while in which every address has an owner at each step. Returns the most addresses
/// that one node took or handed over within a second.
fn run_without_gap(world: &mut VirtualCluster, addresses: &[String], time: Duration) -> usize {
    let before = shares(world, addresses);
    let end = world.now + time;
    let mut most = 0;
    let mut last = before;
    while world.now < end {
        let second = world.now + seconds(1);
        while world.now < second {
            world.run(STEP);
            for address in addresses {
                assert_eq!(world.owners(address).len(), 1, "{address}");
            }
        }
        let now = shares(world, addresses);
        let change = |(node, count): (&NodeName, &usize)| count.abs_diff(last.get(node).copied().unwrap_or(0));
        most = most.max(now.iter().map(change).max().unwrap_or(0));
        last = now;
    }
    most
}

/// After a power failure the speakers of some nodes start before their network is ready.
#[test]
fn p3_peers_that_become_eligible_later_still_get_their_share() {
    let addresses = addresses(30);
    let nodes: [NodeName; 3] = ["a".into(), "b".into(), "c".into()];
    let mut world = cluster_with_one_speaker(&["a", "b", "c"], &addresses);
    for node in &nodes[1..] {
        world.snapshot.nodes.get_mut(node).unwrap().network_unavailable = true;
    }
    world.publish_snapshot();
    world.run(seconds(60));
    world.start(&nodes[1]);
    world.start(&nodes[2]);
    world.run(seconds(30));
    assert_eq!(shares(&world, &addresses), [("a".into(), 30)].into());
    for node in &nodes[1..] {
        world.snapshot.nodes.get_mut(node).unwrap().network_unavailable = false;
    }
    world.publish_snapshot();
    run_without_gap(&mut world, &addresses, seconds(50));
    assert_eq!(shares(&world, &addresses), nodes.map(|node| (node, 10)).into());
}

#[test]
fn p3_addresses_taken_while_nodes_were_missing_are_spread_once() {
    let addresses = addresses(30);
    let nodes: [NodeName; 3] = ["a".into(), "b".into(), "c".into()];
    let mut world = cluster_with_one_speaker(&["a", "b", "c"], &addresses);
    world.run(seconds(10));
    assert_eq!(shares(&world, &addresses), [("a".into(), 30)].into());
    world.start(&nodes[1]);
    world.start(&nodes[2]);
    world.run(seconds(2));
    let most = run_without_gap(&mut world, &addresses, seconds(50));
    assert_eq!(most, 1, "no node takes or hands over more in a second");
    let fair = nodes.clone().map(|node| (node, 10));
    assert_eq!(shares(&world, &addresses), fair.into());
    let rebalanced = |node: &NodeName| world.speakers[node].stats().acquisitions.get("rebalanced").copied();
    assert_eq!(nodes.clone().map(|node| rebalanced(&node)), [None, Some(10), Some(10)]);
    // From now on, a node that returns takes nothing.
    let owners =
        |world: &VirtualCluster| -> Vec<NodeName> { addresses.iter().map(|address| world.owner(address)).collect() };
    for node in &nodes {
        let before = owners(&world);
        world.kill(node);
        world.run(Duration::from_millis(150));
        world.start(node);
        world.run(seconds(40));
        assert_eq!(owners(&world), before, "after the restart of {node}");
    }
}

/// Lets ServiceL2Status name this node as the owner of these addresses.
fn record(world: &mut VirtualCluster, node: &str, addresses: &[String]) {
    for address in addresses {
        let service = ObjectKey::new("n", address);
        world.snapshot.recorded.insert(service, [node.into()].into());
    }
}

#[test]
fn p2_p3_restart_of_all_speakers_moves_nothing() {
    let addresses = addresses(12);
    let (of_a, of_b) = addresses.split_at(9);
    let names: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut world = VirtualCluster::new(&["a", "b", "c"], &names);
    record(&mut world, "a", of_a);
    record(&mut world, "b", of_b);
    world.restart_all();
    world.run(seconds(3));
    let uneven = BTreeMap::from([("a".into(), 9), ("b".into(), 3)]);
    assert_eq!(shares(&world, &addresses), uneven);
    let most = run_without_gap(&mut world, &addresses, seconds(60));
    assert_eq!(most, 0, "the share is as uneven as before, and stays so");
}

#[test]
fn p3_first_speaker_keeps_what_it_owned_and_spreads_the_rest() {
    let addresses = addresses(30);
    let mut world = cluster_with_one_speaker(&["a", "b", "c"], &addresses);
    for (node, recorded) in ["a", "b", "c"].iter().zip(addresses.chunks(10)) {
        record(&mut world, node, recorded);
    }
    world.start(&"a".into());
    world.run(seconds(10));
    assert_eq!(shares(&world, &addresses), [("a".into(), 30)].into());
    world.start(&"b".into());
    world.start(&"c".into());
    world.run(seconds(2));
    run_without_gap(&mut world, &addresses, seconds(50));
    let fair = ["a", "b", "c"].map(|node| (node.into(), 10));
    assert_eq!(shares(&world, &addresses), fair.into());
    for address in &addresses[..10] {
        assert_eq!(world.owner(address), "a".into(), "{address}");
    }
}

#[test]
fn p3_node_that_failed_after_the_spreading_takes_nothing_back() {
    let addresses = addresses(6);
    let mut world = cluster_with_one_speaker(&["a", "b", "never"], &addresses);
    world.run(seconds(5));
    world.start(&"b".into());
    world.run(seconds(40));
    assert_eq!(shares(&world, &addresses), [("a".into(), 3), ("b".into(), 3)].into());
    let node = world.snapshot.nodes["b"].clone();
    world.kill(&"b".into());
    // Its node is removed: its addresses move at once.
    world.snapshot.nodes.remove("b");
    world.publish_snapshot();
    world.run(seconds(70));
    assert_eq!(shares(&world, &addresses), [("a".into(), 6)].into());
    world.snapshot.nodes.insert("b".into(), node);
    world.publish_snapshot();
    world.start(&"b".into());
    world.run(seconds(60));
    assert_eq!(shares(&world, &addresses), [("a".into(), 6)].into());
}

#[test]
fn p3_node_added_during_the_start_up_takes_nothing() {
    let addresses = addresses(6);
    let mut world = cluster_with_one_speaker(&["a", "new", "never"], &addresses);
    let node = world.snapshot.nodes.remove("new").unwrap();
    world.publish_snapshot();
    world.run(seconds(20));
    world.snapshot.nodes.insert("new".into(), node);
    world.publish_snapshot();
    world.start(&"new".into());
    world.run(seconds(60));
    assert_eq!(shares(&world, &addresses), [("a".into(), 6)].into());
}

#[test]
fn p3_addresses_of_a_failed_node_are_spread_to_the_missing_one() {
    let addresses = addresses(6);
    let mut world = cluster_with_one_speaker(&["a", "c", "b"], &addresses);
    world.start(&"b".into());
    world.run(seconds(20));
    assert_eq!(shares(&world, &addresses), [("a".into(), 3), ("b".into(), 3)].into());
    world.kill(&"b".into());
    world.snapshot.nodes.remove("b");
    world.publish_snapshot();
    world.run(seconds(70));
    assert_eq!(shares(&world, &addresses), [("a".into(), 6)].into());
    world.start(&"c".into());
    world.run(seconds(60));
    assert_eq!(shares(&world, &addresses), [("a".into(), 3), ("c".into(), 3)].into());
}

#[test]
fn p3_nothing_is_spread_ten_minutes_after_the_start() {
    let addresses = addresses(6);
    let mut world = cluster_with_one_speaker(&["a", "b"], &addresses);
    world.run(seconds(601));
    world.start(&"b".into());
    world.run(seconds(40));
    assert_eq!(shares(&world, &addresses), [("a".into(), 6)].into());
}

/// A host that hears no speaker does not know whether it is alone. The virtual wire answers it.
#[test]
fn p5_speaker_that_hears_no_peer_asks_before_it_answers() {
    const OTHER_NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 77);
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.kill(&"b".into());
    // The API server remembers the owner, so this is no address that nobody had.
    let service = ObjectKey::new("n", ADDRESS);
    world.snapshot.recorded = [(service, ["b".into()].into())].into();
    world.start(&"a".into());
    world.foreign_host = Some((ADDRESS.parse().unwrap(), OTHER_NODE));
    world.run(seconds(25));
    assert_eq!(world.owners(ADDRESS), NOBODY, "another node answers for it");
    world.foreign_host = None;
    world.run(seconds(11));
    assert_eq!(world.owner(ADDRESS), "a".into());
}

#[test]
fn speaker_that_hears_no_peer_reports_a_problem_until_it_hears_one() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.partition = BTreeSet::from(["a".into()]);
    world.run(seconds(20));
    assert!(world.problems[&NodeName::from("a")].is_empty(), "it may be a restart");
    world.run(seconds(25));
    let texts = |world: &VirtualCluster, node: &str| -> Vec<String> {
        let problems = world.problems.get(&NodeName::from(node)).into_iter().flatten();
        problems.map(ToString::to_string).collect()
    };
    let text = texts(&world, "a").concat();
    assert!(
        text.contains("no other speaker is heard") && text.contains("7947"),
        "{text}"
    );
    assert_eq!(texts(&world, "b"), [""; 0]);
    world.partition.clear();
    world.run(seconds(15));
    assert_eq!(texts(&world, "a"), [""; 0]);
}
