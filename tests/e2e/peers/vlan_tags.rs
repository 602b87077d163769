//! Requests with VLAN tags, on a LAN whose hosts have no VLAN.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use lodestone_runtime::clock;
use lodestone_speaker::net::frame_sockets::FrameSockets;
use lodestone_speaker_core::{
    FrameKind, Interface, InterfaceIndex,
    wire::arp::{self, ArpPacket},
};
use lodestone_tests::{Cluster, Netns};
use pnet_base::MacAddr;
use serde_json::{Value, json};
use tokio::time::timeout_at;

use super::cluster;
use crate::support::{announced, client};

/// The senders of the requests, addresses that no host has. An answer goes to the sender's address,
/// so it says which request it answers.
const UNTAGGED: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 231);
const PRIORITY_TAG: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 232);
const ANOTHER_VLAN: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 233);

/// How long the client waits for answers.
const WINDOW: Duration = Duration::from_secs(1);

/// Inserts a VLAN tag (IEEE 802.1Q) behind the MACs.
fn tagged(frame: &[u8], tag: u16) -> Vec<u8> {
    let (macs, rest) = frame.split_at(12);
    [macs, &[0x81, 0x00], &tag.to_be_bytes(), rest].concat()
}

/// The interface of the client on the LAN.
fn lan_interface(client: &Netns) -> Interface {
    let link: Value = serde_json::from_str(&client.ip(&["-j", "link", "show", "eth0"]).unwrap()).unwrap();
    Interface {
        index: InterfaceIndex(link[0]["ifindex"].as_u64().unwrap().try_into().unwrap()),
        name: "eth0".to_owned(),
        mac: Some(client.mac("eth0").unwrap().parse().unwrap()),
        running: true,
        can_arp: true,
        enslaved: false,
        excluded: false,
        addresses: vec![],
    }
}

/// Asks for an address with each tag, and returns the senders whose requests are answered.
fn answered_senders(cluster: &Cluster, address: Ipv4Addr) -> BTreeSet<Ipv4Addr> {
    let client = client(cluster);
    let interface = lan_interface(&client);
    let mac: MacAddr = interface.mac.unwrap();
    let request = |sender| arp::request(mac, sender, address);
    let exchange = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut sockets = FrameSockets::default();
            assert!(sockets.follow(std::slice::from_ref(&interface)).is_empty());
            for _ in 0..3 {
                for frame in [
                    tagged(&request(ANOTHER_VLAN), 55),
                    tagged(&request(PRIORITY_TAG), 5 << 13),
                    request(UNTAGGED).to_vec(),
                ] {
                    sockets.send(interface.index, &frame)?;
                }
            }
            let (mut senders, mut buffer) = (BTreeSet::new(), FrameSockets::buffer());
            let end = clock::now() + WINDOW;
            while let Ok((_, kind, length)) = timeout_at(end.into(), sockets.receive(&mut buffer)).await {
                let packet = (kind == FrameKind::Arp).then(|| ArpPacket::parse(&buffer[..length]));
                // A gratuitous reply has its own address as target.
                let answer = |packet: &ArpPacket| packet.reply && packet.sender == address && packet.target != address;
                senders.extend(packet.flatten().filter(answer).map(|packet| packet.target));
            }
            Ok(senders)
        })
    };
    client.within(exchange).unwrap()
}

#[test]
fn requests_of_another_vlan_get_no_answer() {
    let cluster = cluster();
    let service = announced(&cluster, "vlan", &json!({}));
    let address = service.address.parse().unwrap();
    let senders = answered_senders(&cluster, address);
    assert_eq!(senders, BTreeSet::from([UNTAGGED, PRIORITY_TAG]));
}
