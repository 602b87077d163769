//! Speakers that restart.

use super::*;

#[test]
fn p2_quickly_restarted_owner_resumes_at_once() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.kill(&owner);
    // The other speakers have not declared it failed yet.
    world.run(Duration::from_millis(150));
    world.start(&owner);
    world.run(Duration::from_millis(50));
    assert_eq!(world.owner(ADDRESS), owner, "the other speakers sent it its claims");
    world.run(seconds(20));
    assert_eq!(world.owner(ADDRESS), owner);
    let mut reports = world.reports.iter();
    assert!(!reports.any(|(node, count)| *node != owner && *count > 0));
}

#[test]
fn speaker_whose_clock_moved_backwards_is_heard() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.boots.values_mut().for_each(|boot| *boot = BootId(1000));
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.kill(&owner);
    world.boots.insert(owner.clone(), BootId(1));
    world.start(&owner);
    world.run(seconds(5));
    world.owner(ADDRESS);
    let alive = |node: &str| world.speakers[node].debug_state(world.now).peers_heard.len();
    assert_eq!((alive("a"), alive("b")), (1, 1));
}

/// Restarts the owner while its peer's first reminders and lists of claims are lost. Returns
/// whether the owner went on with its old claim, after the given time.
fn goes_on_after_loss(reminders: u32, claims: u32, time: Duration) -> bool {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.kill(&owner);
    world.run(Duration::from_millis(150));
    let to_lose = [reminders, claims].map(std::cell::Cell::new);
    let restarted = owner.clone();
    world.loss = Some(Box::new(move |to, message| {
        let kind = match message {
            Message::YourClaims(_) => 0,
            Message::Claims { .. } => 1,
            _ => return false,
        };
        let left = to_lose[kind].get();
        if *to == restarted {
            to_lose[kind].set(left.saturating_sub(1));
        }
        *to == restarted && left > 0
    }));
    world.events.clear();
    world.start(&owner);
    world.run(time);
    let taken = |event: &Event| matches!(event, Event::OwnershipTaken { .. });
    world.owner(ADDRESS) == owner && !world.events.iter().any(taken)
}

#[test]
fn p2_restarted_owner_is_reminded_again_of_what_it_owned() {
    // The reminder is repeated before the answer is complete.
    assert!(goes_on_after_loss(1, 0, Duration::from_millis(50)));
    // All of the answer is lost. That the owner listens shows that it needs a reminder.
    assert!(goes_on_after_loss(2, 1, seconds(5)));
}
