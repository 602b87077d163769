//! Hosts on the network of the speakers that do not mean well: without the key they change nothing (promise P6).
#![expect(clippy::disallowed_methods, reason = "an enemy sends at a pace of its own")]

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use lodestone_speaker::wire::{
    envelope::{Key, Sealer},
    message::{Claim, Datagram, Message},
};
use lodestone_tests::{Recorded, wait_for};
use rand::RngExt;
use socket2::{Domain, Protocol, Socket, Type};

use super::*;

const PORT: u16 = 7947;

/// The bytes of the Secret that the speakers' key is made of.
fn secret(cluster: &Cluster) -> Vec<u8> {
    let secret = cluster.get(&["-n", NAMESPACE, "secret", "lodestone-peers"]).unwrap();
    let text = secret["data"]["secretkey"].as_str().unwrap().to_owned();
    let bytes: k8s_openapi::ByteString = serde_json::from_value(json!(text)).unwrap();
    bytes.0
}

/// Sends datagrams from the client on the LAN to the speaker of a node.
fn send(cluster: &Cluster, node: &str, datagrams: &[Vec<u8>]) {
    let to: SocketAddr = format!("{}:{PORT}", cluster.addresses(node).unwrap().ipv4)
        .parse()
        .unwrap();
    let sent = client(cluster).within(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        datagrams
            .iter()
            .try_for_each(|datagram| socket.send_to(datagram, to).map(drop))?;
        Ok(())
    });
    sent.unwrap();
}

/// Messages of a node that is not there, sealed with the key that these bytes make: it lives, and owns an address with the highest epoch.
fn lies(to: &str, address: &str, secret: &[u8]) -> Vec<Vec<u8>> {
    let key = Key::new(secret).unwrap();
    let mut sealer = Sealer::new(rand::rng().random());
    let claim = Claim {
        address: address.parse().unwrap(),
        epoch: u64::MAX,
        held_back: false,
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
            boot: u64::MAX / 2,
            sequence,
            message,
        };
        sealer.seal(&key, &datagram.write().unwrap()).unwrap()
    });
    sealed.collect()
}

fn knows_stranger(cluster: &Cluster, node: &str) -> bool {
    metric(cluster, node, "lodestone_speaker_peer_silent{node=\"stranger\"}").is_some()
}

#[test]
fn p6_messages_under_another_key_change_nothing() {
    let cluster = cluster();
    let service = announced(&cluster, "wrong-key", &json!({}));
    let nodes = cluster.spec().nodes();
    for node in &nodes {
        for _ in 0..100 {
            send(&cluster, node, &lies(node, &service.address, b"another secret"));
        }
    }
    stays(&cluster, &service);
    assert!(nodes.iter().all(|node| !knows_stranger(&cluster, node)));
    // The same is heard under the right key, or this test would show nothing: that it lives, without any claim.
    let node = "w1";
    send(&cluster, node, &lies(node, &service.address, &secret(&cluster))[..1]);
    wait_until("the stranger to be heard", LIMIT, || knows_stranger(&cluster, node)).unwrap();
    stays(&cluster, &service);
}

#[test]
fn p6_recorded_messages_do_not_keep_a_dead_node_alive_and_do_not_hurt_one_that_is_back() {
    let cluster = cluster();
    let service = announced(&cluster, "replayed", &json!({}));
    let recorded: Vec<Recorded> = cluster.record(&service.owner, PORT, 300).unwrap();
    assert!(recorded.len() == 300 && recorded.iter().any(|datagram| datagram.payload.len() > 42));
    let again = |stop: &AtomicBool| {
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
        let sending = scope.spawn(|| again(&stop));
        cluster.power_off(&service.owner).unwrap();
        let macs = wait_for("another owner", LIMIT, || {
            let macs = client(&cluster).who_has(&service.address)?;
            let dead = cluster.host(&service.owner).mac("eth0")?;
            Ok((macs.len() == 1 && !macs.contains(&dead)).then_some(macs))
        });
        let back = cluster.bring_back(&service.owner);
        let came = back.and_then(|()| cluster.wait_for_lodestone());
        let after = cluster.owner_of(&service.address);
        stop.store(true, Ordering::Relaxed);
        sending.join().unwrap().unwrap();
        came.unwrap();
        let mac = cluster.host(&after.unwrap()).mac("eth0").unwrap();
        assert_eq!(macs.unwrap(), [mac].into());
    });
    all_hear_all(&cluster);
}

#[test]
fn p6_garbage_as_fast_as_it_comes_moves_nothing() {
    let cluster = cluster();
    let service = announced(&cluster, "garbage", &json!({}));
    let stop = AtomicBool::new(false);
    let nodes = cluster.spec().nodes();
    let targets: Vec<SocketAddr> = nodes
        .iter()
        .map(|node| {
            format!("{}:{PORT}", cluster.addresses(node).unwrap().ipv4)
                .parse()
                .unwrap()
        })
        .collect();
    let sent = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            client(&cluster).within(|| {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
                let mut random = rand::rng();
                // Some of it looks like a message at first.
                let garbage: Vec<Vec<u8>> = (0..64)
                    .map(|index| {
                        let mut bytes: Vec<u8> = (0..random.random_range(0..1400)).map(|_| random.random()).collect();
                        if let Some(first) = bytes.first_mut().filter(|_| index % 2 == 0) {
                            *first = 1;
                        }
                        bytes
                    })
                    .collect();
                let mut sent = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    for (bytes, target) in garbage.iter().zip(targets.iter().cycle()) {
                        // A full queue is no failure of this test.
                        sent += u64::from(socket.send_to(bytes, target).is_ok());
                    }
                }
                Ok(sent)
            })
        });
        let seen: Vec<_> = (0..LOOKS).map(|_| client(&cluster).who_has(&service.address)).collect();
        stop.store(true, Ordering::Relaxed);
        let mac = cluster.host(&service.owner).mac("eth0").unwrap();
        let seen: Vec<_> = seen.into_iter().map(Result::unwrap).collect();
        assert!(seen.iter().flatten().all(|seen| *seen == mac), "{seen:?}");
        // A question may be lost in it; not all of them.
        assert!(seen.iter().any(|macs| !macs.is_empty()), "nobody has answered");
        sending.join().unwrap().unwrap()
    });
    assert!(sent > 10_000, "only {sent} datagrams were sent");
    all_hear_all(&cluster);
    stays(&cluster, &service);
}

/// An ICMP error of `from`: the datagram that `to` has sent there from `port` found nobody (RFC 792: type 3, code 3, its header and eight bytes).
fn port_unreachable(from: Ipv4Addr, to: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 60, 0, 1, 0, 0, 64, 17, 0, 0];
    header.extend(to.octets());
    header.extend(from.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![3, 3, 0, 0, 0, 0, 0, 0];
    packet.extend(header);
    packet.extend(port.to_be_bytes());
    packet.extend(PORT.to_be_bytes());
    packet.extend([0, 40, 0, 0]);
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}

#[test]
fn p6_forged_icmp_errors_are_worth_a_doubt_and_move_nothing() {
    let cluster = cluster();
    let service = announced(&cluster, "forged", &json!({}));
    let victim: Ipv4Addr = cluster.addresses(&service.owner).unwrap().ipv4.parse().unwrap();
    let doubts = |node: &str| {
        let line = metric(&cluster, node, "lodestone_speaker_doubts_total ");
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .unwrap_or_default()
    };
    let others: Vec<String> = cluster
        .spec()
        .nodes()
        .into_iter()
        .filter(|node| *node != service.owner)
        .collect();
    let before: u64 = others.iter().map(|node| doubts(node)).sum();
    // Whoever hears the LAN knows from which port the others send to the owner.
    let mut forged = Vec::new();
    for node in &others {
        let recorded = cluster.record(node, PORT, 100).unwrap();
        let to_victim = recorded
            .iter()
            .filter(|datagram| *datagram.to.ip() == victim && datagram.from.port() != PORT);
        let port = to_victim.map(|datagram| datagram.from.port()).next().unwrap();
        let node: Ipv4Addr = cluster.addresses(node).unwrap().ipv4.parse().unwrap();
        forged.push((node, port_unreachable(victim, node, port)));
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
        let seen: Vec<_> = (0..LOOKS).map(|_| client(&cluster).who_has(&service.address)).collect();
        stop.store(true, Ordering::Relaxed);
        sending.join().unwrap().unwrap();
        let mac = cluster.host(&service.owner).mac("eth0").unwrap();
        for macs in seen {
            assert_eq!(macs.unwrap(), [mac.clone()].into());
        }
    });
    let after: u64 = others.iter().map(|node| doubts(node)).sum();
    assert!(
        after > before + 10,
        "the forged errors have reached nobody: {before} doubts before, {after} after"
    );
    stays(&cluster, &service);
}

#[test]
fn p6_the_key_is_changed_while_the_speakers_talk_and_nothing_moves() {
    let cluster = cluster();
    let service = announced(&cluster, "rotated", &json!({}));
    // A message that is not understood is counted. How long somebody was silent says nothing: the machine may be busy.
    let refused = || -> Vec<String> {
        let nodes = cluster.spec().nodes();
        let name = "lodestone_speaker_refused_messages_total ";
        nodes.iter().map(|node| metric(&cluster, node, name).unwrap()).collect()
    };
    all_hear_all(&cluster);
    let before = refused();
    for round in 0..3 {
        let patch = json!({"stringData": {"secretkey": format!("another secret, number {round}")}}).to_string();
        cluster
            .kubectl(&["-n", NAMESPACE, "patch", "secret", "lodestone-peers", "-p", &patch])
            .unwrap();
        stays(&cluster, &service);
    }
    assert_eq!(refused(), before, "everybody has understood everybody all the time");
    all_hear_all(&cluster);
    // One that starts now knows the last key only.
    let pod = cluster.pod_of("speaker", Some(&service.owner)).unwrap();
    cluster.kubectl(&["-n", NAMESPACE, "delete", "pod", &pod]).unwrap();
    cluster.wait_for_lodestone().unwrap();
    all_hear_all(&cluster);
    stays(&cluster, &service);
}
