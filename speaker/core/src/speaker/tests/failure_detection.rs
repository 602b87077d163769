//! Who is late or silent, and whose word counts.

use super::*;
use crate::liveness::peers::{Path, Phase};

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn a_doubt_that_is_due_is_not_put_off_by_the_heartbeats_of_another_one() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    world.running.remove("b");
    let mut phases = vec![Phase::Well];
    for _ in 0..1000 {
        world.now += MILLISECOND;
        // It always comes when the clock has gone on and nothing of what is due was done yet.
        world.say("c", "a", Message::Heartbeat);
        world.turn();
        let phase = world.running["a"].phases["b"];
        if phases.last() != Some(&phase) {
            phases.push(phase);
        }
    }
    let [Phase::Well, Phase::Doubted, Phase::Suspected(_)] = phases[..] else {
        panic!("{phases:?}");
    };
}

#[test]
fn one_that_is_itself_cut_off_where_it_announces_is_not_believed_that_others_are() {
    let names: Vec<String> = (0..30).map(|index| format!("n{index:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::new(&names, &[ADDRESS]);
    world.run(seconds(3));
    let (me, others) = names.split_first().unwrap();
    let watched = |world: &World, node: &str| world.running[*me].peers.watches(&node.into());
    let cut_off = others.iter().find(|node| watched(&world, node)).unwrap();
    let far: Vec<&&str> = others.iter().filter(|node| !watched(&world, node)).take(2).collect();
    let (accused, witness) = (*far[0], *far[1]);
    // Its heartbeats over the network of the addresses end; over that of the nodes they go on.
    for _ in 0..20 {
        let now = world.now;
        let peers = &mut world.running.get_mut(*me).unwrap().peers;
        peers.beat(now, &(*cut_off).into(), Path::Lan);
        world.run(HEARTBEAT);
    }
    world.run(seconds(1));
    let suspected = |world: &World, node: &str| world.running[*me].peers.suspected_by(&node.into(), world.now);
    assert_eq!((suspected(&world, cut_off), suspected(&world, accused)), (1, 0));
    let word = || Message::Suspect {
        node: accused.into(),
        on_lan: true,
    };
    world.say(cut_off, me, word());
    assert_eq!(suspected(&world, accused), 0);
    // The same word of one that is well counts.
    world.say(witness, me, word());
    assert_eq!(suspected(&world, accused), 1);
}
