//! Traffic between the speakers, by size of the cluster.

use std::time::Duration;

use super::spec;
use crate::World;

/// Packets that a speaker sends and receives per second.
struct PacketRate {
    mean: u64,
    max: u64,
}

fn packet_rate(nodes: usize, warm_up: Duration, time: Duration) -> PacketRate {
    let mut world = World::new(spec(nodes, 6, 1));
    world.run(warm_up);
    for node in &mut world.nodes {
        (node.sent, node.received) = (0, 0);
    }
    world.run(time);
    let millis = u64::try_from(time.as_millis()).unwrap();
    let rates: Vec<u64> = world
        .nodes
        .iter()
        .map(|node| (node.sent + node.received) * 1000 / millis)
        .collect();
    PacketRate {
        mean: rates.iter().sum::<u64>() / rates.len() as u64,
        max: rates.into_iter().max().unwrap(),
    }
}

fn assert_constant_traffic(nodes: usize, warm_up: Duration, time: Duration) {
    let PacketRate { mean, max } = packet_rate(nodes, warm_up, time);
    println!("{nodes} nodes: {mean} packets per node and second, at most {max}");
    assert!(mean <= 200, "{nodes} nodes: {mean} packets per node and second");
}

#[test]
fn p1_traffic_stays_below_200_packets_per_second_at_any_size() {
    for (nodes, seconds) in [(3, 20), (100, 10)] {
        assert_constant_traffic(nodes, Duration::from_secs(5), Duration::from_secs(seconds));
    }
}

#[test]
#[ignore = "takes minutes: make sim-long"]
fn p1_traffic_stays_below_200_packets_per_second_with_1000_nodes() {
    assert_constant_traffic(1000, Duration::from_secs(3), Duration::from_secs(2));
}
