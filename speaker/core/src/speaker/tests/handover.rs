//! Addresses that move although their owner is alive.

use super::*;

/// An address that is about to move back from its owner to the node that ranks first for it.
struct Handover {
    /// The first in rank, which has just returned.
    first: NodeName,
    /// The present owner.
    second: NodeName,
}

impl Handover {
    /// Kills the first in rank and starts it again, with `--ownership=hash`.
    fn prepare(world: &mut VirtualCluster) -> Self {
        world.settings.ownership = OwnershipMode::Hash;
        world.restart_all();
        world.run(seconds(3));
        let first = world.owner(ADDRESS);
        world.kill(&first);
        world.run(seconds(3));
        let second = world.owner(ADDRESS);
        world.start(&first);
        world.run(seconds(1));
        assert_eq!(world.owner(ADDRESS), second);
        Self { first, second }
    }

    /// Lets time pass until the first in rank announces the address.
    fn run(&self, world: &mut VirtualCluster) {
        let limit = world.now + seconds(20);
        while !world.owners(ADDRESS).contains(&self.first) && world.now < limit {
            world.run(STEP);
        }
    }

    /// The same, while all claims are lost.
    fn run_without_claims(&self, world: &mut VirtualCluster) {
        world.loss = Some(Box::new(|_, message| matches!(message, Message::Claims { .. })));
        self.run(world);
        assert_eq!(
            world.owners(ADDRESS).len(),
            2,
            "the former owner does not know the claim"
        );
        world.loss = None;
    }
}

#[test]
fn p5_lost_claim_is_soon_sent_to_the_former_owner_again() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    let handover = Handover::prepare(&mut world);
    handover.run_without_claims(&mut world);
    world.run(Duration::from_millis(150));
    assert_eq!(world.owner(ADDRESS), handover.first);
}

#[test]
fn p5_only_the_former_owner_can_acknowledge_a_claim() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    let handover = Handover::prepare(&mut world);
    let third = world.other_than(&[&handover.first, &handover.second]);
    handover.run_without_claims(&mut world);
    world.send(&third, &handover.first, Message::Yielded(vec![ip(ADDRESS)]));
    world.run(Duration::from_millis(150));
    assert_eq!(world.owner(ADDRESS), handover.first);
}

#[test]
fn p5_always_on_deputy_learns_the_new_owner_despite_two_losses() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.settings.deputy = DeputyMode::Always;
    let handover = Handover::prepare(&mut world);
    let Handover { first, second } = &handover;
    let third = world.other_than(&[first, second]);
    // The third node does not know yet that the first is eligible again, so it is the deputy of
    // the second.
    let outdated = with_local_endpoints(&world.snapshot, &[&third, second]);
    world.publish_to(&third, outdated);
    let is_deputy = |world: &VirtualCluster| {
        let duty = world.speakers[&third].lan.duties().get(&ip(ADDRESS));
        duty.is_some_and(|duty| duty.owner == *second)
    };
    let deaf = third.clone();
    world.loss = Some(Box::new(move |to, message| {
        *to == deaf && matches!(message, Message::Claims { .. } | Message::RelayedClaims(_))
    }));
    handover.run(&mut world);
    world.run(STEP);
    assert_eq!(
        world.owners(ADDRESS),
        std::slice::from_ref(first),
        "the former owner has yielded"
    );
    assert!(is_deputy(&world), "the deputy does not know the new owner yet");
    world.loss = None;
    world.run(Duration::from_millis(150));
    assert!(!is_deputy(&world));
}

#[test]
fn p6_lost_acknowledgement_of_a_claim_is_repeated() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    let handover = Handover::prepare(&mut world);
    world.loss = Some(Box::new(|_, message| matches!(message, Message::Yielded(_))));
    handover.run(&mut world);
    world.run(STEP);
    assert_eq!(world.owner(ADDRESS), handover.first);
    let is_awaited = |world: &VirtualCluster| {
        world.speakers[&handover.first]
            .ownership
            .awaits_acknowledgement(ip(ADDRESS))
    };
    assert!(is_awaited(&world));
    world.loss = None;
    world.run(Duration::from_millis(150));
    assert!(!is_awaited(&world), "the former owner has acknowledged it again");
}
