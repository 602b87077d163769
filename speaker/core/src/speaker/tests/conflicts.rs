//! Hosts outside the cluster that use an address of a Service (promise P5, RFC 5227).

use super::*;
use crate::ownership::ranking::ranks_before;

const FOREIGN: MacAddr = MacAddr(2, 0xf, 0, 0, 0, 1);

/// A cluster that starts while a foreign host has the address.
fn world_with_foreign_host(deputy: DeputyMode) -> VirtualCluster {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.settings.deputy = deputy;
    world.foreign_host = Some((ADDRESS.parse().unwrap(), FOREIGN));
    world.restart_all();
    world.run(seconds(3));
    world
}

/// The nodes that answer for the address, with any MAC.
fn answering(world: &VirtualCluster) -> Vec<NodeName> {
    let nodes = world.speakers.keys();
    let answering = nodes.filter(|node| !world.answers(node, ADDRESS).is_empty());
    answering.cloned().collect()
}

/// The node whose claim is in force, whether it announces the address or not.
fn claimant(world: &VirtualCluster) -> NodeName {
    let speaker = world.speakers.values().next().unwrap();
    speaker.ownership.claims().owner(ip(ADDRESS)).unwrap().clone()
}

#[test]
fn p5_no_node_not_even_a_deputy_answers_while_a_foreign_host_does() {
    for mode in [DeputyMode::OnSuspect, DeputyMode::Always, DeputyMode::Off] {
        let mut world = world_with_foreign_host(mode);
        assert_eq!(answering(&world), NOBODY, "{mode:?}");
        let owner = claimant(&world);
        // The next owner finds the foreign host as well.
        world.kill(&owner);
        for _ in 0..300 {
            world.run(STEP * 10);
            assert_eq!(answering(&world), NOBODY, "{mode:?}");
        }
        assert_ne!(claimant(&world), owner);
        // Once the foreign host has left, the address is announced.
        world.foreign_host = None;
        world.run(seconds(15));
        world.owner(ADDRESS);
    }
}

#[test]
fn p5_restarted_owner_probes_again_while_a_foreign_host_has_its_address() {
    let mut world = world_with_foreign_host(DeputyMode::OnSuspect);
    let owner = claimant(&world);
    world.kill(&owner);
    world.run(STEP * 5);
    world.start(&owner);
    for _ in 0..50 {
        world.run(STEP * 10);
        assert_eq!(answering(&world), NOBODY);
    }
    assert_eq!(claimant(&world), owner);
}

#[test]
fn p5_shutdown_does_not_wait_for_a_deputy_of_a_tentative_address() {
    let mut world = world_with_foreign_host(DeputyMode::OnSuspect);
    let (owner, now) = (claimant(&world), world.now);
    let speaker = world.speaker(&owner);
    speaker.begin_shutdown(now);
    assert!(speaker.may_stop());
}

#[test]
fn p5_every_node_learns_that_an_address_is_no_longer_tentative() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let is_confirmed = |speaker: &Speaker| {
        let record = speaker.ownership.claims().get(ip(ADDRESS));
        record.is_some_and(|record| !record.tentative)
    };
    assert!(world.speakers.values().all(is_confirmed));
}

/// Every speaker hears a probe of the foreign host for the address: sender 0.0.0.0, or `::`.
fn probe_from_foreign_host(world: &mut VirtualCluster, address: IpAddr) {
    let (kind, frame): (_, Vec<u8>) = match address {
        IpAddr::V4(v4) => (FrameKind::Arp, arp::request(FOREIGN, [0; 4].into(), v4).into()),
        IpAddr::V6(v6) => (FrameKind::Ndp, ndp::solicitation(FOREIGN, None, v6)),
    };
    let nodes: Vec<NodeName> = world.speakers.keys().cloned().collect();
    for node in nodes {
        let (now, interface) = (world.now, world.interface_index(&node));
        world.speaker(&node).handle_frame(now, interface, kind, &frame);
    }
}

#[test]
fn p1_foreign_probes_delay_a_new_address_by_a_bounded_time() {
    for address in [ADDRESS, IPV6_ADDRESS] {
        let mut world = VirtualCluster::new(&["a", "b", "c"], &[]);
        world.run(seconds(3));
        let probed = ip(address);
        world.snapshot.addresses = testing::snapshot(&[], &[address]).addresses;
        world.publish_snapshot();
        // A switch asks for each new address: fast for 4 s, and then every 5 s.
        for step in 0..1_500 {
            if step < 400 || step % 500 == 0 {
                probe_from_foreign_host(&mut world, probed);
            }
            world.run(STEP);
        }
        world.owner(address);
    }
}

/// The address of the foreign host in the tests of reused addresses.
const TAKEN: &str = "192.0.2.9";

#[test]
fn p5_new_address_of_a_service_from_before_the_start_is_probed() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    let nodes = BTreeSet::from(["a", "b", "c"].map(NodeName::from));
    world.snapshot.recorded.insert(ObjectKey::new("n", ADDRESS), nodes);
    world.restart_all();
    world.run(seconds(3));
    world.owner(ADDRESS);
    world.foreign_host = Some((TAKEN.parse().unwrap(), FOREIGN));
    // A user requests another address for the Service.
    let services = world.snapshot.addresses.remove(&ip(ADDRESS)).unwrap();
    world.snapshot.addresses.insert(ip(TAKEN), services);
    world.publish_snapshot();
    for _ in 0..30 {
        world.run(STEP * 10);
        assert_eq!(world.owners(TAKEN), NOBODY);
    }
}

#[test]
fn p5_address_that_comes_back_is_probed_although_it_had_an_owner() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[TAKEN]);
    world.run(seconds(3));
    let owner = world.owner(TAKEN);
    let services = world.snapshot.addresses.remove(&ip(TAKEN)).unwrap();
    world.publish_snapshot();
    world.run(seconds(1));
    world.kill(&owner);
    world.foreign_host = Some((TAKEN.parse().unwrap(), FOREIGN));
    world.snapshot.addresses.insert(ip(TAKEN), services);
    world.publish_snapshot();
    for _ in 0..50 {
        world.run(STEP * 10);
        assert_eq!(world.owners(TAKEN), NOBODY);
    }
}

#[test]
fn p5_owner_withdraws_when_a_node_gets_its_address() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    world.owner(ADDRESS);
    let node = world.snapshot.nodes.get_mut("c").unwrap();
    node.addresses.insert(ip(ADDRESS));
    world.publish_snapshot();
    assert_eq!(answering(&world), NOBODY);
    world.events.clear();
    world.run(seconds(10));
    assert_eq!(answering(&world), NOBODY);
    let texts: Vec<String> = world.events.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["192.0.2.1 is not announced: it is the address of node c"]);
}

#[test]
fn p1_without_conflict_detection_a_proxying_network_delays_nothing() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[]);
    world.settings.conflict_detection = ConflictDetectionMode::Off;
    world.foreign_host = Some((ADDRESS.parse().unwrap(), FOREIGN));
    world.restart_all();
    world.run(seconds(3));
    world.snapshot.addresses = testing::snapshot(&[], &[ADDRESS]).addresses;
    world.publish_snapshot();
    world.run(STEP * 3);
    let owner = world.owner(ADDRESS);
    let is_confirmed = |speaker: &Speaker| {
        let record = speaker.ownership.claims().get(ip(ADDRESS));
        record.is_some_and(|record| !record.tentative)
    };
    assert!(world.speakers.values().all(is_confirmed), "so a deputy may answer");
    // The other nodes wait half a second each.
    world.run(seconds(3));
    assert_eq!(world.owner(ADDRESS), owner);
}

/// A cluster on one wire whose speakers have announced the address and now hear nobody.
fn world_without_messages() -> VirtualCluster {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.shares_wire = true;
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let service = ObjectKey::new("n", ADDRESS);
    world.snapshot.recorded.insert(service, [owner].into());
    world.loss = Some(Box::new(|_, _| true));
    world.run(seconds(3));
    world
}

#[test]
fn p5_speaker_that_hears_nobody_leaves_an_address_to_its_owner() {
    let mut world = world_without_messages();
    let owner = world.owner(ADDRESS);
    let other = world.other_than(&[&owner]);
    world.kill(&other);
    world.start(&other);
    world.events.clear();
    for _ in 0..300 {
        world.run(STEP * 10);
        assert_eq!(world.owner(ADDRESS), owner);
    }
    let texts: Vec<String> = world.events.iter().map(ToString::to_string).collect();
    let names_port = |text: &String| text.contains("hears no other speaker") && text.contains("UDP port");
    assert!(texts.iter().any(names_port), "{texts:?}");
    // It learns more when messages arrive again.
    world.loss = None;
    world.run(seconds(15));
    world.owner(ADDRESS);
}

#[test]
fn p5_recorded_owner_that_hears_nobody_leaves_an_address_to_the_new_owner() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.shares_wire = true;
    world.run(seconds(3));
    let recorded = world.owner(ADDRESS);
    world.kill(&recorded);
    world.run(seconds(90));
    let owner = world.owner(ADDRESS);
    world
        .snapshot
        .recorded
        .insert(ObjectKey::new("n", ADDRESS), [recorded.clone()].into());
    world.loss = Some(Box::new(|_, _| true));
    world.start(&recorded);
    for _ in 0..300 {
        world.run(STEP * 10);
        assert_eq!(world.owner(ADDRESS), owner);
    }
}

#[test]
fn p1_new_address_is_announced_by_one_node_although_no_message_arrives() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[]);
    world.shares_wire = true;
    world.run(seconds(3));
    world.loss = Some(Box::new(|_, _| true));
    world.run(seconds(3));
    world.snapshot.addresses = testing::snapshot(&[], &[ADDRESS]).addresses;
    world.publish_snapshot();
    for _ in 0..300 {
        world.run(STEP * 10);
        assert!(world.owners(ADDRESS).len() <= 1);
    }
    let answering = answering(&world);
    assert_eq!(answering, [world.owner(ADDRESS)]);
}

#[test]
fn p5_owners_that_cannot_talk_are_settled_on_the_wire() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS, "192.0.2.2", "192.0.2.3", IPV6_ADDRESS]);
    world.run(seconds(3));
    world.partition = BTreeSet::from(["a".into()]);
    world.run(seconds(4));
    let addresses = [ADDRESS, "192.0.2.2", "192.0.2.3", IPV6_ADDRESS];
    for address in addresses {
        assert_eq!(world.owners(address).len(), 2, "each side has an owner");
    }
    // The wire heals, and the messages stay blocked.
    world.shares_wire = true;
    world.run(seconds(90));
    for _ in 0..300 {
        for address in addresses {
            assert_eq!(world.owners(address).len(), 1, "{address}");
        }
        world.run(STEP * 100);
    }
    world.partition.clear();
    world.run(seconds(1));
    for address in addresses {
        world.owner(address);
    }
}

#[test]
fn p5_owners_that_see_each_other_are_settled_after_five_seconds() {
    let (first, second) = by_rank(ADDRESS);
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.settings.announce_interval = Duration::ZERO;
    world.restart_all();
    world.run(seconds(3));
    world.loss = Some(Box::new(|_, _| true));
    world.run(seconds(4));
    world.shares_wire = true;
    show_use(&mut world, &second, &first);
    world.run(seconds(4));
    assert_eq!(world.owners(ADDRESS).len(), 2, "one of them may only be late");
    world.run(seconds(1) + STEP * 2);
    assert_eq!(world.owners(ADDRESS), [first]);
}

#[test]
fn p5_owner_goes_on_beside_a_kernel_that_answers_and_names_its_node() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let other = world.other_than(&[&owner]);
    let port = world.interface_index(&other);
    let mac = MacAddr::new(2, 0, 0, 0, 0, u8::try_from(port.0).unwrap());
    world.events.clear();
    for _ in 0..20 {
        world.run(seconds(1));
        let (now, interface) = (world.now, world.interface_index(&owner));
        let answer = arp::gratuitous(mac, ADDRESS.parse().unwrap())[1];
        world
            .speaker(&owner)
            .handle_frame(now, interface, FrameKind::Arp, &answer);
        assert_eq!(world.owner(ADDRESS), owner);
    }
    world.run(STEP);
    let texts: Vec<String> = world.events.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains(&format!("is used by node {other} ({mac}), whose kernel answers")));
}

/// The one of two nodes that ranks first for the address, and the other one.
fn by_rank(address: &str) -> (NodeName, NodeName) {
    let (a, b) = (NodeName::from("a"), NodeName::from("b"));
    if ranks_before(ip(address), a.as_str(), b.as_str()) {
        (a, b)
    } else {
        (b, a)
    }
}

/// `to` receives a frame of `from` that says that `from` has the address.
fn show_use(world: &mut VirtualCluster, from: &NodeName, to: &NodeName) {
    let answer = arp::gratuitous(world.mac(from), ADDRESS.parse().unwrap())[1];
    let (now, interface) = (world.now, world.interface_index(to));
    world.speaker(to).handle_frame(now, interface, FrameKind::Arp, &answer);
}

#[test]
fn p5_of_two_nodes_that_cannot_talk_the_first_in_rank_probes_first() {
    let (first, second) = by_rank(ADDRESS);
    let time_to_answer = |probes: bool| {
        let mut world = VirtualCluster::new(&["a", "b"], &[]);
        world.run(seconds(3));
        world.loss = Some(Box::new(|_, _| true));
        world.run(seconds(3));
        let probe = arp::request(world.mac(&first), [0; 4].into(), ADDRESS.parse().unwrap());
        world.snapshot.addresses = testing::snapshot(&[], &[ADDRESS]).addresses;
        let snapshot = world.snapshot.clone();
        world.publish_to(&second, snapshot);
        let start = world.now;
        while world.answers(&second, ADDRESS).is_empty() {
            let (now, interface) = (world.now, world.interface_index(&second));
            if probes {
                world
                    .speaker(&second)
                    .handle_frame(now, interface, FrameKind::Arp, &probe);
            }
            world.run(STEP);
        }
        world.now - start
    };
    assert!(time_to_answer(true) > time_to_answer(false) + seconds(3));
}

#[test]
fn p5_owner_shows_itself_to_a_rival_that_it_sees() {
    let (first, second) = by_rank(ADDRESS);
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.settings.announce_interval = Duration::ZERO;
    world.restart_all();
    world.run(seconds(3));
    world.loss = Some(Box::new(|_, _| true));
    world.run(seconds(4));
    assert_eq!(world.owners(ADDRESS).len(), 2, "each node has taken it");
    world.shares_wire = true;
    for _ in 0..20 {
        // Only the first one sees the other one by chance.
        show_use(&mut world, &second, &first);
        world.run(seconds(1));
    }
    assert_eq!(world.owners(ADDRESS), [first]);
}
