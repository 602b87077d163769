//! A segment in two parts whose nodes hear each other on another network.

use super::*;
use crate::{
    liveness::peers::Path,
    ownership::{claims::ClaimOutcome, partition::LOOK_INTERVAL},
    test_support::network,
    testing::ethernet,
    types::{InterfaceIndex, MacAddr},
};

const LAN: InterfaceIndex = InterfaceIndex(2);

/// A MAC of a node on the LAN.
fn lan_mac(number: u8) -> MacAddr {
    MacAddr::new(2, 1, 0, 0, 0, number)
}

/// The address is on the LAN of all nodes. They hear each other on `eth0` too. Heartbeats of
/// `heard_on_lan` arrive on the LAN.
fn two_networks(heard_on_lan: &[&str]) -> Parts {
    let mut parts = Parts::new(&["a", "b", "c"], &["172.16.0.100"]);
    let interfaces = vec![
        ethernet(1, "eth0", &["192.0.2.201/24"]),
        ethernet(2, "lan0", &["172.16.0.1/24"]),
    ];
    parts.node.set_interfaces(interfaces);
    parts.edit_snapshot(|snapshot| {
        for (number, node) in (201..).zip(snapshot.nodes.values_mut()) {
            node.address = Some(ip(&format!("192.0.2.{number}")));
        }
    });
    let macs = [("b", 2), ("c", 3)].map(|(node, number)| (lan_mac(number), node.into()));
    parts.lan.set_peer_macs(turn!(parts, parts.now), macs.into());
    for (node, number) in [("b", 2), ("c", 3)] {
        parts.join(node);
        let lan = network("lan0", lan_mac(number), &[&format!("172.16.0.{number}/24")]);
        let networks = vec![parts.network(node), lan];
        parts.liveness.handle_networks(&node.into(), networks);
        parts.lan.note_mac(parts.now, LAN, lan_mac(number));
    }
    heartbeats(&mut parts, heard_on_lan);
    parts
}

/// Heartbeats arrive from all peers on `eth0` and from these on the LAN, for half a second.
fn heartbeats(parts: &mut Parts, on_lan: &[&str]) {
    for _ in 0..10 {
        parts.pass(50);
        for node in ["b", "c"] {
            parts.beat(node, Path::Node);
        }
        for node in on_lan {
            parts.beat(node, Path::Segment(LAN));
        }
    }
}

#[test]
fn p1_each_part_of_a_segment_keeps_its_owner_until_they_are_one() {
    let address = "172.16.0.100";
    let mut parts = two_networks(&["b", "c"]);
    parts.claim("a", address, 1);
    decide(&mut parts);
    assert_eq!(claimed_by(&parts, address), "a");
    heartbeats(&mut parts, &["c"]);
    assert_eq!(parts.claim("b", address, 2), ClaimOutcome::Unchanged);
    decide(&mut parts);
    assert_eq!(claimed_by(&parts, address), "a", "b is in the other part");
    heartbeats(&mut parts, &["b", "c"]);
    decide(&mut parts);
    assert_eq!(claimed_by(&parts, address), "b", "the higher epoch wins");
}

/// Above eight nodes a node watches some of the others only.
#[test]
fn p1_frame_shows_that_an_unwatched_claimant_is_in_this_part() {
    let address = "172.16.0.100";
    let mut parts = two_networks(&["c"]);
    parts.claim("a", address, 1);
    decide(&mut parts);
    assert_eq!(parts.claim("b", address, 2), ClaimOutcome::Unchanged, "no frame");
    let recheck = decide(&mut parts).recheck.unwrap();
    assert!(recheck <= parts.now + LOOK_INTERVAL, "a frame may arrive now");
    parts.pass(20);
    parts.lan.note_mac(parts.now, LAN, lan_mac(2));
    decide(&mut parts);
    assert_eq!(claimed_by(&parts, address), "b");
}

#[test]
fn owner_that_is_isolated_on_the_segment_yields_to_the_other_part() {
    let address = "172.16.0.100";
    let mut parts = two_networks(&["b", "c"]);
    parts.claim("a", address, 1);
    decide(&mut parts);
    heartbeats(&mut parts, &[]);
    assert_eq!(parts.claim("b", address, 2), ClaimOutcome::Changed);
    assert_eq!(claimed_by(&parts, address), "b");
}

#[test]
fn claim_that_was_put_aside_is_forgotten_when_it_is_released() {
    let address = "172.16.0.100";
    let mut parts = two_networks(&["b", "c"]);
    parts.claim("a", address, 1);
    decide(&mut parts);
    heartbeats(&mut parts, &["c"]);
    parts.claim("b", address, 2);
    let turn = turn!(parts, parts.now);
    parts.ownership.handle_release(turn, &"b".into(), claim(address, 2));
    heartbeats(&mut parts, &["b", "c"]);
    decide(&mut parts);
    assert_eq!(claimed_by(&parts, address), "a");
}
