//! What several speakers do together.

mod arbitrary_input;
mod conflicts;
mod contention;
mod failure_detection;
mod handover;
mod interfaces;
mod takeover;
mod world;

use std::{collections::BTreeSet, net::Ipv4Addr};

use lodestone_crds::{Labels, ObjectKey};
use pnet_base::MacAddr;
use serde_json::json;

use super::*;
use crate::{
    core::{
        eligibility::tests::config,
        facts::{Endpoints, Node, ServiceOnAddress},
        interface::tests::ethernet,
    },
    wire::{
        arp,
        message::{Claim, Datagram, Message},
        ndp,
    },
};
use world::World;

const ADDRESS: &str = "192.0.2.1";
const STEP: Duration = Duration::from_millis(10);

/// A speaker that is alone and announces 192.0.2.1, when it is, and a request for that address.
pub(crate) fn alone() -> (Speaker, Instant, Vec<u8>) {
    without(&[])
}

/// The same in a cluster with other nodes, none of which was ever heard.
fn without(others: &[&str]) -> (Speaker, Instant, Vec<u8>) {
    let nodes: Vec<&str> = others.iter().copied().chain(["a"]).collect();
    let mut world = World::new(&nodes, &[ADDRESS]);
    world.running.retain(|node, _| node == "a");
    world.run(seconds(3));
    let asker = MacAddr::new(2, 9, 9, 9, 9, 9);
    let request = arp::request(asker, "192.0.2.99".parse().unwrap(), ADDRESS.parse().unwrap());
    (world.running.remove("a").unwrap(), world.now, request.into())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The Service that has [`ADDRESS`].
fn tenant(facts: &mut ClusterSnapshot) -> &mut ServiceOnAddress {
    let tenants = facts.addresses.get_mut(&ADDRESS.parse::<IpAddr>().unwrap()).unwrap();
    &mut Arc::make_mut(tenants)[0]
}

/// An endpoint that says no node, or none at all.
fn elsewhere(elsewhere: bool) -> Arc<Endpoints> {
    Arc::new(Endpoints {
        elsewhere,
        ..Endpoints::default()
    })
}

#[test]
fn p3_a_dead_owner_is_replaced_and_does_not_take_back_when_it_returns() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let first = world.owner(ADDRESS);
    world.running.remove(&first);
    world.run(seconds(3));
    let second = world.owner(ADDRESS);
    assert_ne!(first, second);
    world.start(&first);
    world.run(seconds(20));
    assert_eq!(world.owner(ADDRESS), second);
}

#[test]
fn a_node_that_has_left_the_cluster_is_forgotten_and_one_of_the_same_name_is_welcome() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let gone = world.owner(ADDRESS);
    world.running.remove(&gone);
    world.run(seconds(5));
    let node = world.facts.nodes.remove(gone.as_str()).unwrap();
    world.tell_facts();
    world.run(seconds(1));
    for speaker in world.running.values() {
        let known = speaker.phases.keys().chain(&speaker.unheard).chain(&speaker.on_wire);
        let known = known.chain(speaker.checks.keys()).chain(&speaker.watchers);
        assert!(!known.into_iter().any(|known| **known == *gone));
    }
    world.facts.nodes.insert(gone.as_str().into(), node);
    world.tell_facts();
    world.start(&gone);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.running.remove(&owner);
    world.run(seconds(3));
    world.owner(ADDRESS);
}

#[test]
fn p2_an_owner_that_is_restarted_soon_goes_on_at_once() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.running.remove(&owner);
    // Before anybody has concluded anything.
    world.run(Duration::from_millis(150));
    world.start(&owner);
    world.run(Duration::from_millis(50));
    assert_eq!(world.owner(ADDRESS), owner, "the others told it what it owned");
    world.run(seconds(20));
    assert_eq!(world.owner(ADDRESS), owner);
    assert_eq!(
        world
            .history
            .iter()
            .filter(|(node, owned)| *node != owner && *owned > 0)
            .count(),
        0
    );
}

#[test]
fn p2_one_that_ends_is_stood_in_for_with_its_own_mac_and_nothing_moves() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let mac = world.running[&owner].ports().next().unwrap().mac;
    let now = world.now;
    world.running.get_mut(&owner).unwrap().begin_shutdown(now);
    assert!(!world.running[&owner].may_stop());
    world.run(STEP * 2);
    assert!(world.running[&owner].may_stop());
    world.running.remove(&owner);
    let stand_ins = |world: &World| {
        let answers = |speaker: &Speaker| {
            (1..9).find_map(|interface| Some(speaker.answers_for(interface, ADDRESS.parse().unwrap())?.1))
        };
        world.running.values().filter_map(answers).collect::<Vec<_>>()
    };
    assert_eq!(stand_ins(&world), [mac]);
    world.start(&owner);
    world.run(seconds(3));
    assert_eq!(world.owner(ADDRESS), owner);
    assert_eq!(stand_ins(&world), [mac]);
}

#[test]
fn p4_one_that_ends_on_a_node_that_is_drained_answers_until_another_does() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.facts.nodes.get_mut(owner.as_str()).unwrap().draining = true;
    world.tell_facts();
    world.run(seconds(1));
    assert_eq!(world.owner(ADDRESS), owner, "cordoned is not gone");
    let now = world.now;
    world.running.get_mut(&owner).unwrap().begin_shutdown(now);
    assert_eq!(world.owner(ADDRESS), owner);
    world.run(STEP * 2);
    assert_ne!(world.owner(ADDRESS), owner);
    assert!(world.running[&owner].may_stop());
}

#[test]
fn p6_without_any_endpoint_nobody_answers_and_then_the_same_owner_again() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    tenant(&mut world.facts).endpoints = elsewhere(false);
    world.tell_facts();
    assert_eq!(world.owners(ADDRESS), Vec::<String>::new());
    world.run(seconds(30));
    tenant(&mut world.facts).endpoints = elsewhere(true);
    world.tell_facts();
    world.run(seconds(1));
    assert_eq!(world.owner(ADDRESS), owner);
}

#[test]
fn a_speaker_whose_clock_has_gone_back_is_heard_all_the_same() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    world.boots.values_mut().for_each(|boot| *boot = 1000);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.running.remove(&owner);
    world.boots.insert(owner.clone(), 1);
    world.start(&owner);
    world.run(seconds(5));
    world.owner(ADDRESS);
    let now = world.now;
    let peers = |node: &str| {
        world.running[node].debug_state(now)["peersAlive"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((peers("a"), peers("b")), (1, 1));
}

#[test]
fn messages_for_another_node_mean_nothing() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    let (now, source) = (world.now, "10.0.0.2".parse().unwrap());
    let speaker = world.running.get_mut("a").unwrap();
    let claims = vec![Claim {
        address: ADDRESS.parse().unwrap(),
        epoch: 9,
        held_back: false,
    }];
    let datagram = Datagram {
        from: "b".into(),
        to: "c".into(),
        boot: 1,
        sequence: 1,
        message: Message::YouOwn(claims),
    };
    speaker.handle_datagram(now, source, datagram);
    assert!(speaker.claims.holder(ADDRESS.parse().unwrap()).is_none());
}

#[test]
fn the_owners_of_the_two_addresses_of_one_service_know_of_each_other() {
    const SIX: &str = "2001:db8::56";
    let mut world = World::new(&["a", "b"], &[ADDRESS, SIX]);
    let service = ObjectKey::new("n", "dual");
    for tenants in world.facts.addresses.values_mut() {
        Arc::make_mut(tenants)[0].service = service.clone();
    }
    world.tell_facts();
    world.run(seconds(3));
    // One each, by their fair shares.
    let (four, six) = (world.owner(ADDRESS), world.owner(SIX));
    assert_ne!(four, six);
    let beside = |node: &str, address: &str| {
        world.running[node].owned[&address.parse::<IpAddr>().unwrap()]
            .owned
            .beside
            .clone()
    };
    assert_eq!(beside(&four, ADDRESS), BTreeSet::from([NodeName::from(six.as_str())]));
    assert_eq!(beside(&six, SIX), BTreeSet::from([NodeName::from(four.as_str())]));
    world.running.remove(&six);
    world.run(seconds(5));
    let both = world.running[&four]
        .owned
        .values()
        .map(|announced| announced.owned.beside.len())
        .collect::<Vec<_>>();
    assert_eq!(both, [0, 0]);
}
