//! Who owns what nobody owns.

use super::*;

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
            speaker.handle_snapshot(world.now, Arc::new(with.clone()));
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
