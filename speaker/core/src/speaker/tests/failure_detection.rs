//! Peers that are late or silent, and which failure reports count.

use super::*;
use crate::{
    borrow::turn,
    liveness::peers::{Path, Phase},
};

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn heartbeats_of_another_peer_do_not_delay_a_suspicion_that_is_due() {
    let (watcher, silent, other): (NodeName, NodeName, NodeName) = ("a".into(), "b".into(), "c".into());
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    world.kill(&silent);
    let mut phases = vec![Phase::Alive];
    for _ in 0..1000 {
        world.now += MILLISECOND;
        // The heartbeat always arrives after a timeout has become due, and before it is handled.
        world.send(&other, &watcher, Message::Heartbeat);
        world.handle_timeouts();
        let phase = world.speakers[&watcher].liveness.peers().reviewed_phase(&silent);
        if phases.last().copied() != phase {
            phases.push(phase.unwrap());
        }
    }
    let [Phase::Alive, Phase::Suspect, Phase::Failed(_)] = phases[..] else {
        panic!("{phases:?}");
    };
}

#[test]
fn failure_reports_of_a_node_that_is_cut_off_from_its_lan_do_not_count() {
    let names: Vec<String> = (0..30).map(|index| format!("n{index:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = VirtualCluster::new(&names, &[ADDRESS]);
    world.run(seconds(3));
    let nodes: Vec<NodeName> = world.speakers.keys().cloned().collect();
    let (me, others) = nodes.split_first().unwrap();
    let peers = world.speakers[me].liveness.peers();
    let (watched, unwatched): (Vec<&NodeName>, Vec<&NodeName>) = others.iter().partition(|node| peers.watches(node));
    let (cut_off, accused, witness) = (watched[0], unwatched[0], unwatched[1]);
    // Its heartbeats end on the LAN and continue on the node network.
    for _ in 0..20 {
        let now = world.now;
        let speaker = world.speaker(me);
        speaker
            .liveness
            .handle_heartbeat(turn!(speaker, now), cut_off, Path::Lan);
        world.run(HEARTBEAT_INTERVAL);
    }
    world.run(seconds(1));
    let reports = |world: &VirtualCluster, node| world.speakers[me].liveness.peers().failure_reports(node, world.now);
    assert_eq!((reports(&world, cut_off), reports(&world, accused)), (1, 0));
    let report = Message::Failed {
        node: accused.clone(),
        lan_only: true,
    };
    world.send(cut_off, me, report.clone());
    assert_eq!(reports(&world, accused), 0);
    // The same report counts if its sender is alive on the LAN.
    world.send(witness, me, report);
    assert_eq!(reports(&world, accused), 1);
}
