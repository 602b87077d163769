//! What several speakers do together.

mod foreign;
mod moving;
mod soup;
mod watching;
mod world;

use std::{collections::BTreeSet, net::Ipv4Addr};

use lodestone_crds::Labels;
use lodestone_daemon::ObjectKey;
use pnet_base::MacAddr;
use serde_json::json;

use super::*;
use crate::{
    core::{
        eligibility::tests::config,
        facts::{Endpoints, Node, Tenant},
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
fn tenant(facts: &mut Facts) -> &mut Tenant {
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
fn a_speaker_listens_first_and_then_one_owns_the_address() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    assert_eq!(world.owners(ADDRESS), Vec::<String>::new());
    world.run(seconds(5));
    world.owner(ADDRESS);
    assert!(world.frames >= 2 * 5, "a burst of gratuitous ARP: {}", world.frames);
}

#[test]
fn a_speaker_that_is_alone_owns_everything_after_listening() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    world.running.remove("b");
    world.run(LISTEN + STEP * 8);
    assert_eq!(world.owner(ADDRESS), "a");
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
fn p5_after_a_partition_one_owner_is_left_at_once() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS, "192.0.2.2", "192.0.2.3"]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.cut = BTreeSet::from([owner]);
    world.run(seconds(4));
    assert_eq!(world.owners(ADDRESS).len(), 2, "each side has an owner");
    world.cut.clear();
    world.run(Duration::from_millis(200) + HEARTBEAT);
    for address in [ADDRESS, "192.0.2.2", "192.0.2.3"] {
        world.owner(address);
    }
}

#[test]
fn p2_one_that_ends_is_stood_in_for_with_its_own_mac_and_nothing_moves() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let mac = world.running[&owner].ports().next().unwrap().mac;
    let now = world.now;
    world.running.get_mut(&owner).unwrap().leave(now);
    assert!(!world.running[&owner].may_end());
    world.run(STEP * 2);
    assert!(world.running[&owner].may_end());
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
    world.running.get_mut(&owner).unwrap().leave(now);
    assert_eq!(world.owner(ADDRESS), owner);
    world.run(STEP * 2);
    assert_ne!(world.owner(ADDRESS), owner);
    assert!(world.running[&owner].may_end());
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
fn addresses_are_spread_fairly() {
    let addresses: Vec<String> = (1..=30).map(|index| format!("192.0.2.{index}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut world = World::new(&["a", "b", "c"], &addresses);
    world.run(seconds(5));
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for address in addresses {
        *count.entry(world.owner(address)).or_default() += 1;
    }
    assert!(count.values().all(|owned| *owned == 10), "{count:?}");
}

#[test]
fn in_a_cluster_that_starts_anew_the_recorded_owner_goes_on() {
    for recorded in ["a", "b", "c"] {
        let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
        world
            .facts
            .recorded
            .insert(ObjectKey::new("n", ADDRESS), [recorded.into()].into());
        world.tell_facts();
        world.run(seconds(3));
        assert_eq!(world.owner(ADDRESS), recorded);
    }
}

#[test]
fn a_first_in_the_election_that_does_not_know_the_service_is_not_waited_for_for_ever() {
    let mut world = World::new(&["a", "b", "c"], &[]);
    world.run(seconds(3));
    let with = World::new(&["a", "b", "c"], &[ADDRESS]).facts;
    let mut probe = World::new(&["a", "b", "c"], &[ADDRESS]);
    probe.run(seconds(3));
    let first = probe.owner(ADDRESS);
    for (node, speaker) in &mut world.running {
        if *node != first {
            speaker.facts(world.now, Arc::new(with.clone()));
        }
    }
    world.facts = with;
    world.run(seconds(2));
    let second = world.owner(ADDRESS);
    assert_ne!(second, first);
    world.tell_facts();
    world.run(seconds(10));
    assert_eq!(world.owner(ADDRESS), second);
}

#[test]
fn requests_to_another_host_and_on_other_interfaces_are_not_answered() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    world.running.remove("b");
    world.run(seconds(2));
    let now = world.now;
    let speaker = world.running.get_mut("a").unwrap();
    let mut answers = |interface, destination: MacAddr| {
        let asker = MacAddr::new(2, 9, 9, 9, 9, 9);
        let mut frame = arp::request(asker, "192.0.2.99".parse().unwrap(), ADDRESS.parse().unwrap());
        frame[..6].copy_from_slice(&<[u8; 6]>::from(destination));
        speaker.frame(now, interface, Kind::Arp, &frame).is_some()
    };
    assert!(answers(1, MacAddr::broadcast()));
    assert!(answers(1, MacAddr::new(2, 0, 0, 0, 0, 1)));
    assert!(!answers(1, MacAddr::new(2, 0, 0, 0, 0, 7)));
    assert!(!answers(2, MacAddr::broadcast()));
}

#[test]
fn an_interface_that_goes_down_moves_the_address_and_one_that_comes_up_bursts() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    world.run(seconds(10));
    let owner = world.owner(ADDRESS);
    let index = if owner == "a" { 1 } else { 2 };
    let now = world.now;
    let up = ethernet(index, "eth0", &["192.0.2.250/24"]);
    let down = Interface {
        running: false,
        ..up.clone()
    };
    world.running.get_mut(&owner).unwrap().interfaces(now, vec![down]);
    world.run(STEP * 2);
    let other = world.owner(ADDRESS);
    assert_ne!(other, owner);
    world.run(seconds(10));
    let (before, now) = (world.frames, world.now);
    let mac = Some(MacAddr::new(2, 7, 7, 7, 7, 7));
    let changed = Interface {
        mac,
        ..ethernet(if other == "a" { 1 } else { 2 }, "eth0", &["192.0.2.250/24"])
    };
    world.running.get_mut(&other).unwrap().interfaces(now, vec![changed]);
    world.run(STEP * 2);
    assert_eq!(world.frames, before + 2);
}

#[test]
fn p5_two_that_disagree_on_who_may_own_an_address_do_not_outbid_each_other_for_ever() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    world.run(seconds(3));
    // Local traffic only, and each has heard of the endpoint on its own node only.
    for node in ["a", "b"] {
        let mut facts = world.facts.clone();
        let tenant = tenant(&mut facts);
        tenant.local = true;
        tenant.endpoints = Arc::new(Endpoints {
            nodes: BTreeSet::from([node.into()]),
            ..Endpoints::default()
        });
        world.running.get_mut(node).unwrap().facts(world.now, Arc::new(facts));
    }
    let before = world.history.len();
    world.run(seconds(60));
    assert!(
        world.history.len() - before < 40,
        "{} changes of owner in a minute",
        (world.history.len() - before) / 2
    );
    assert_eq!(world.owners(ADDRESS).len(), 1);
}

#[test]
fn p3_one_that_joins_takes_nothing_from_an_owner_of_many_addresses() {
    let addresses: Vec<String> = (1..=150).map(|index| format!("192.0.2.{index}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut world = World::new(&["a", "b"], &addresses);
    world.running.remove("b");
    world.run(seconds(3));
    world.start("b");
    world.run(seconds(10));
    assert!(addresses.iter().all(|address| world.owner(address) == "a"));
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
        world.running[node].describe(now)["peersAlive"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((peers("a"), peers("b")), (1, 1));
}

#[test]
fn p5_where_only_one_hears_the_other_one_owner_is_left() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let other = if owner == "a" { "b" } else { "a" };
    world.deaf.insert((owner.clone(), other.to_owned()));
    world.run(seconds(10));
    assert_eq!(
        world.owner(ADDRESS),
        other,
        "it took over, and the one that hears it steps down"
    );
}

#[test]
fn p5_where_two_of_three_do_not_hear_each_other_the_third_settles_it() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let other = ["a", "b", "c"].into_iter().find(|node| *node != owner).unwrap();
    world.deaf.insert((owner.clone(), other.to_owned()));
    world.deaf.insert((other.to_owned(), owner.clone()));
    world.run(seconds(30));
    world.owner(ADDRESS);
}

#[test]
fn p6_an_owner_that_sees_no_endpoint_where_others_do_is_replaced() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let mut behind = world.facts.clone();
    tenant(&mut behind).endpoints = elsewhere(false);
    world
        .running
        .get_mut(&owner)
        .unwrap()
        .facts(world.now, Arc::new(behind));
    assert_eq!(world.owners(ADDRESS), Vec::<String>::new());
    world.run(seconds(10));
    assert_ne!(world.owner(ADDRESS), owner);
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
    speaker.datagram(now, source, datagram);
    assert!(speaker.claims.holder(ADDRESS.parse().unwrap()).is_none());
}

#[test]
fn an_ipv6_address_has_one_owner_that_listens_to_its_group_and_another_when_that_dies() {
    const SIX: &str = "2001:db8::56";
    let group: Ipv6Addr = "ff02::1:ff00:56".parse().unwrap();
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS, SIX]);
    world.run(seconds(3));
    let owner = world.owner(SIX);
    for (node, speaker) in &world.running {
        let listens = speaker.groups.iter().any(|(_, listened)| *listened == group);
        assert_eq!(listens, *node == owner, "{node}");
    }
    world.running.remove(&owner);
    world.run(seconds(5));
    assert_ne!(world.owner(SIX), owner);
}

#[test]
fn a_solicitation_is_answered_when_it_came_to_a_group_or_to_us() {
    let mut world = World::new(&["a"], &["2001:db8::1"]);
    world.run(seconds(3));
    let now = world.now;
    let speaker = world.running.get_mut("a").unwrap();
    let mut answers = |interface, destination: MacAddr| {
        let asker = MacAddr::new(2, 9, 9, 9, 9, 9);
        let mut frame = ndp::solicit(asker, Some("fe80::9".parse().unwrap()), "2001:db8::1".parse().unwrap());
        frame[..6].copy_from_slice(&<[u8; 6]>::from(destination));
        speaker.frame(now, interface, Kind::Ndp, &frame).is_some()
    };
    assert!(answers(1, MacAddr::new(0x33, 0x33, 0xff, 0, 0, 1)));
    assert!(answers(1, MacAddr::new(2, 0, 0, 0, 0, 1)));
    assert!(!answers(1, MacAddr::new(2, 0, 0, 0, 0, 7)));
    assert!(!answers(2, MacAddr::new(2, 0, 0, 0, 0, 1)));
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

#[test]
fn a_node_without_ipv6_owns_no_ipv6_address() {
    const SIX: &str = "2001:db8::56";
    let mut world = World::new(&["a", "b"], &[SIX]);
    world.run(seconds(3));
    let owner = world.owner(SIX);
    // It is switched off there: the other one takes over.
    let speaker = world.running.get_mut(&owner).unwrap();
    speaker.interfaces(world.now, vec![ethernet(1, "eth0", &["192.0.2.250/24"])]);
    world.run(seconds(3));
    assert_ne!(world.owner(SIX), owner);
}
