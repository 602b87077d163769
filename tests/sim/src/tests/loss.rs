//! Loss and stalls cause no takeover (promise P6).

use std::{thread, time::Duration};

use super::{any_node, spec};
use crate::{LinkConditions, World};

/// Returns the takeovers in that many node-hours of loss, while some node stalls for 150 ms every
/// ten seconds.
fn false_takeovers(loss: f64, node_hours: u64, seed: u64) -> Vec<String> {
    const NODES: usize = 5;
    const STALL: Duration = Duration::from_millis(150);
    const PAUSE: Duration = Duration::from_secs(10);
    let mut world = World::new(spec(NODES, 5, seed));
    world.run(PAUSE);
    world.observed.clear();
    world.set_conditions(LinkConditions {
        loss,
        ..LinkConditions::default()
    });
    let time = Duration::from_secs(node_hours * 3600) / u32::try_from(NODES).unwrap();
    let mut stalls = 0;
    while world.elapsed() < time + PAUSE {
        world.stall(stalls % NODES, STALL);
        stalls += 1;
        world.run(PAUSE);
    }
    world.takeovers(any_node)
}

fn assert_no_false_takeovers(node_hours: u64) {
    thread::scope(|scope| {
        for (loss, seed) in [0.0, 0.02, 0.1, 0.3].into_iter().zip(0..) {
            scope.spawn(move || {
                let takeovers = false_takeovers(loss, node_hours, seed);
                println!("loss {loss}: {} takeovers in {node_hours} node-hours", takeovers.len());
                assert!(takeovers.is_empty(), "at a loss of {loss}: {takeovers:#?}");
            });
        }
    });
}

#[test]
fn p6_no_address_moves_in_10_node_hours_of_loss_and_stalls() {
    assert_no_false_takeovers(10);
}

#[test]
#[ignore = "takes long: make sim-long"]
fn p6_no_address_moves_in_1000_node_hours_of_loss_and_stalls() {
    assert_no_false_takeovers(1000);
}

/// Everything is lost for 120 ms, again and again.
#[test]
fn p6_bursts_of_loss_move_no_address() {
    let mut world = World::new(spec(4, 4, 9));
    world.run(Duration::from_secs(5));
    world.observed.clear();
    world.set_conditions(LinkConditions {
        burst: Duration::from_millis(120),
        burst_chance: 0.0005,
        ..LinkConditions::default()
    });
    world.run(Duration::from_secs(300));
    let takeovers = world.takeovers(any_node);
    assert!(takeovers.is_empty(), "{takeovers:#?}");
}
