//! Peers that are late or silent, and which failure reports count.

use super::*;
use crate::liveness::peers::Phase;

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
