//! Attackers on the network of the speakers: without the key they change nothing (promise P6).
#![expect(clippy::disallowed_methods, reason = "an attacker sends at a pace of its own")]

mod icmp;

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use lodestone_speaker_core::{
    BootId, Epoch,
    wire::{
        envelope::{Key, Sealer},
        message::{Claim, Datagram, Message},
    },
};
use lodestone_tests::{Cluster, NAMESPACE, RecordedDatagram, wait_for, wait_until};
use rand::RngExt;
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use super::{REQUESTS, assert_owner, cluster, metric, wait_until_all_are_heard};
use crate::support::{LIMIT, announced, client};

/// The UDP port of the speakers.
const PORT: u16 = 7947;

/// The bytes in the Secret from which the speakers derive their key.
fn secret(cluster: &Cluster) -> Vec<u8> {
    let secret = cluster.get(&["-n", NAMESPACE, "secret", "lodestone-peers"]).unwrap();
    let text = secret["data"]["secretkey"].as_str().unwrap().to_owned();
    let bytes: k8s_openapi::ByteString = serde_json::from_value(json!(text)).unwrap();
    bytes.0
}

/// The IPv4 address of a node on the network of the speakers.
fn ipv4(cluster: &Cluster, node: &str) -> Ipv4Addr {
    cluster.addresses(node).unwrap().ipv4.parse().unwrap()
}

/// Sends datagrams from the client on the LAN to the speaker of a node.
fn send(cluster: &Cluster, node: &str, datagrams: &[Vec<u8>]) {
    let to = SocketAddr::from((ipv4(cluster, node), PORT));
    let sent = client(cluster).within(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        datagrams
            .iter()
            .try_for_each(|datagram| socket.send_to(datagram, to).map(drop))?;
        Ok(())
    });
    sent.unwrap();
}

/// Messages of a node that does not exist, sealed with the key derived from `secret`. They say that
/// the node is alive and claims `address` with the highest epoch.
fn forged_messages(to: &str, address: &str, secret: &[u8]) -> Vec<Vec<u8>> {
    let key = Key::new(secret).unwrap();
    let mut sealer = Sealer::new(rand::rng().random());
    let claim = Claim {
        address: address.parse().unwrap(),
        epoch: Epoch(u64::MAX),
        tentative: false,
    };
    let claims = Message::Claims {
        claims: vec![claim],
        last: true,
    };
    let messages = [Message::Heartbeat, Message::Hello(vec![]), claims];
    let sealed = (1..).zip(messages).map(|(sequence, message)| {
        let datagram = Datagram {
            from: "stranger".into(),
            to: to.into(),
            boot: BootId(u64::MAX / 2),
            sequence,
            message,
        };
        sealer.seal(&key, &datagram.encode().unwrap()).unwrap()
    });
    sealed.collect()
}

/// Whether the speaker of `node` has accepted a message of the node that does not exist.
fn knows_stranger(cluster: &Cluster, node: &str) -> bool {
    metric(cluster, node, "lodestone_speaker_peer_heard{node=\"stranger\"}").is_some()
}

#[test]
fn p6_messages_under_another_key_change_nothing() {
    let cluster = cluster();
    let service = announced(&cluster, "wrong-key", &json!({}));
    let nodes = cluster.spec().nodes();
    for node in &nodes {
        for _ in 0..100 {
            send(
                &cluster,
                node,
                &forged_messages(node, &service.address, b"another secret"),
            );
        }
    }
    assert_owner(&cluster, &service, &service.owner);
    assert!(nodes.iter().all(|node| !knows_stranger(&cluster, node)));
    // A heartbeat under the right key is accepted; otherwise this test would prove nothing.
    let node = "w1";
    send(
        &cluster,
        node,
        &forged_messages(node, &service.address, &secret(&cluster))[..1],
    );
    wait_until("the stranger to be heard", LIMIT, || knows_stranger(&cluster, node)).unwrap();
    assert_owner(&cluster, &service, &service.owner);
}

#[test]
fn p6_replayed_messages_neither_keep_a_node_alive_nor_disturb_it() {
    let cluster = cluster();
    let service = announced(&cluster, "replayed", &json!({}));
    let recorded: Vec<RecordedDatagram> = cluster.record_datagrams(&service.owner, PORT, 300).unwrap();
    assert!(recorded.len() == 300 && recorded.iter().any(|datagram| datagram.payload.len() > 42));
    let replay = |stop: &AtomicBool| {
        client(&cluster).within(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            while !stop.load(Ordering::Relaxed) {
                for datagram in &recorded {
                    socket.send_to(&datagram.payload, datagram.to)?;
                }
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        })
    };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| replay(&stop));
        cluster.power_off(&service.owner).unwrap();
        let macs = wait_for("another owner", LIMIT, || {
            let macs = client(&cluster).who_has(&service.address)?;
            let dead = cluster.host(&service.owner).mac("eth0")?;
            Ok((macs.len() == 1 && !macs.contains(&dead)).then_some(macs))
        });
        let back = cluster.bring_back(&service.owner);
        let returned = back.and_then(|()| cluster.wait_for_lodestone());
        let after = cluster.owner_of(&service.address);
        stop.store(true, Ordering::Relaxed);
        sending.join().unwrap().unwrap();
        returned.unwrap();
        let mac = cluster.host(&after.unwrap()).mac("eth0").unwrap();
        assert_eq!(macs.unwrap(), [mac].into());
    });
    wait_until_all_are_heard(&cluster);
}

/// Sends random datagrams to all speakers, as fast as possible, until `stop` is set. Returns how
/// many.
fn send_garbage(cluster: &Cluster, stop: &AtomicBool) -> anyhow::Result<u64> {
    let nodes = cluster.spec().nodes();
    let targets: Vec<SocketAddr> = nodes
        .iter()
        .map(|node| SocketAddr::from((ipv4(cluster, node), PORT)))
        .collect();
    client(cluster).within(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let mut random = rand::rng();
        // Half of the datagrams begin like a message.
        let garbage: Vec<Vec<u8>> = (0..64)
            .map(|index| {
                let mut bytes: Vec<u8> = (0..random.random_range(0..1400)).map(|_| random.random()).collect();
                if let Some(first) = bytes.first_mut().filter(|_| index % 2 == 0) {
                    *first = 1;
                }
                bytes
            })
            .collect();
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            for (bytes, target) in garbage.iter().zip(targets.iter().cycle()) {
                // Sending may fail while the queue is full.
                sent += u64::from(socket.send_to(bytes, target).is_ok());
            }
        }
        Ok(sent)
    })
}

#[test]
fn p6_flood_of_garbage_moves_nothing() {
    let cluster = cluster();
    let service = announced(&cluster, "garbage", &json!({}));
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let sending = scope.spawn(|| send_garbage(&cluster, &stop));
        let seen: Vec<_> = (0..REQUESTS)
            .map(|_| client(&cluster).who_has(&service.address))
            .collect();
        stop.store(true, Ordering::Relaxed);
        let mac = cluster.host(&service.owner).mac("eth0").unwrap();
        let seen: Vec<_> = seen.into_iter().map(Result::unwrap).collect();
        assert!(seen.iter().flatten().all(|seen| *seen == mac), "{seen:?}");
        // The flood may displace some requests, but not all.
        assert!(seen.iter().any(|macs| !macs.is_empty()), "no node has answered");
        sending.join().unwrap().unwrap()
    });
    assert!(sent > 10_000, "only {sent} datagrams were sent");
    wait_until_all_are_heard(&cluster);
    assert_owner(&cluster, &service, &service.owner);
}

#[test]
fn p6_forged_icmp_errors_raise_suspicion_and_move_nothing() {
    let cluster = cluster();
    let service = announced(&cluster, "forged", &json!({}));
    let victim = ipv4(&cluster, &service.owner);
    let others: Vec<String> = cluster
        .spec()
        .nodes()
        .into_iter()
        .filter(|node| *node != service.owner)
        .collect();
    let suspected = || -> u64 {
        let name = "lodestone_speaker_suspect_total ";
        others.iter().filter_map(|node| metric(&cluster, node, name)).sum()
    };
    let before = suspected();
    // An attacker on the LAN sees the port from which each node sends to the owner.
    let mut forged = Vec::new();
    for node in &others {
        let recorded = cluster.record_datagrams(node, PORT, 100).unwrap();
        let to_victim = recorded
            .iter()
            .filter(|datagram| *datagram.to.ip() == victim && datagram.from.port() != PORT);
        let port = to_victim.map(|datagram| datagram.from.port()).next().unwrap();
        let node = ipv4(&cluster, node);
        forged.push((node, icmp::port_unreachable(victim, node, (port, PORT))));
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            client(&cluster).within(|| {
                let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
                while !stop.load(Ordering::Relaxed) {
                    for (node, packet) in &forged {
                        socket.send_to(packet, &SocketAddr::from((*node, 0)).into())?;
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            })
        });
        let seen: Vec<_> = (0..REQUESTS)
            .map(|_| client(&cluster).who_has(&service.address))
            .collect();
        stop.store(true, Ordering::Relaxed);
        sending.join().unwrap().unwrap();
        let mac = cluster.host(&service.owner).mac("eth0").unwrap();
        for macs in seen {
            assert_eq!(macs.unwrap(), [mac.clone()].into());
        }
    });
    let after = suspected();
    assert!(
        after > before + 10,
        "the forged errors had no effect: {before} suspects before, {after} after"
    );
    assert_owner(&cluster, &service, &service.owner);
}

#[test]
fn p6_key_rotations_move_nothing() {
    let cluster = cluster();
    let service = announced(&cluster, "rotated", &json!({}));
    // The speakers count messages that they cannot decrypt. A gap between heartbeats proves
    // nothing: the machine may be busy.
    let refused = || -> Vec<u64> {
        let nodes = cluster.spec().nodes();
        let name = "lodestone_speaker_refused_messages_total ";
        nodes.iter().map(|node| metric(&cluster, node, name).unwrap()).collect()
    };
    wait_until_all_are_heard(&cluster);
    let before = refused();
    for round in 0..3 {
        let patch = json!({"stringData": {"secretkey": format!("another secret, number {round}")}}).to_string();
        cluster
            .kubectl(&["-n", NAMESPACE, "patch", "secret", "lodestone-peers", "-p", &patch])
            .unwrap();
        assert_owner(&cluster, &service, &service.owner);
    }
    assert_eq!(refused(), before, "every speaker could decrypt every message");
    wait_until_all_are_heard(&cluster);
    // A speaker that starts now knows only the latest key.
    let pod = cluster.pod_of("speaker", Some(&service.owner)).unwrap();
    cluster.kubectl(&["-n", NAMESPACE, "delete", "pod", &pod]).unwrap();
    cluster.wait_for_lodestone().unwrap();
    wait_until_all_are_heard(&cluster);
    assert_owner(&cluster, &service, &service.owner);
}
