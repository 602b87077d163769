//! The bytes of each message. A peer of an older build has to understand them, so they must not
//! change. A new message comes last.

use super::*;

fn claim(address: &str, epoch: u64, tentative: bool) -> Claim {
    Claim {
        address: address.parse().unwrap(),
        epoch: Epoch(epoch),
        tentative,
    }
}

fn network() -> Network {
    Network {
        interface: "eth0".to_owned(),
        mac: MacAddr::new(2, 0, 0, 0, 0, 1),
        addresses: vec!["192.0.2.1/24".parse().unwrap(), "2001:db8::1/64".parse().unwrap()],
        usable: true,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The number of a message on the wire. A new message has to be added here and to the test.
const fn number(message: &Message) -> usize {
    match message {
        Message::Heartbeat => 0,
        Message::Unwatch => 1,
        Message::Suspect(_) => 2,
        Message::Failed { .. } => 3,
        Message::Recovered(_) => 4,
        Message::WasFailed => 5,
        Message::Hello(_) => 6,
        Message::Claims { .. } => 7,
        Message::RelayedClaims(_) => 8,
        Message::StaleBoot(_) => 9,
        Message::YourClaims(_) => 10,
        Message::Listening => 11,
        Message::Released(_) => 12,
        Message::Yielded(_) => 13,
        Message::Leaving { .. } => 14,
        Message::DeputyFor(_) => 15,
        Message::FailedOn { .. } => 16,
        Message::Offer(_) => 17,
    }
}

#[test]
fn each_message_has_its_bytes() {
    let node = || NodeName::from("b");
    let claims = || vec![claim("192.0.2.9", 300, true), claim("2001:db8::9", 1, false)];
    let addresses = || vec!["192.0.2.9".parse().unwrap()];
    let messages = [
        (Message::Heartbeat, "00"),
        (Message::Unwatch, "01"),
        (Message::Suspect(node()), "020162"),
        (
            Message::Failed {
                node: node(),
                lan_only: true,
            },
            "03016201",
        ),
        (Message::Recovered(node()), "040162"),
        (Message::WasFailed, "05"),
        (
            Message::Hello(vec![network()]),
            "060104657468300200000000010200c0000201180120010db80000000000000000000000014001",
        ),
        (
            Message::Claims {
                claims: claims(),
                last: true,
            },
            "070200c0000209ac02010120010db8000000000000000000000009010001",
        ),
        (
            Message::RelayedClaims(vec![(node(), claims()[0])]),
            "0801016200c0000209ac0201",
        ),
        (Message::StaleBoot(BootId(7)), "0907"),
        (
            Message::YourClaims(claims()),
            "0a0200c0000209ac02010120010db80000000000000000000000090100",
        ),
        (Message::Listening, "0b"),
        (
            Message::Released(claims()),
            "0c0200c0000209ac02010120010db80000000000000000000000090100",
        ),
        (Message::Yielded(addresses()), "0d0100c0000209"),
        (Message::Leaving { handover: true }, "0e01"),
        (Message::DeputyFor(addresses()), "0f0100c0000209"),
        (
            Message::FailedOn {
                node: node(),
                networks: ["eth0".to_owned()].into(),
            },
            "100162010465746830",
        ),
        (Message::Offer(addresses()), "110100c0000209"),
    ];
    for (place, (message, bytes)) in messages.into_iter().enumerate() {
        assert_eq!(number(&message), place);
        let datagram = Datagram {
            from: "a".into(),
            to: "b".into(),
            boot: BootId(5),
            sequence: 200,
            message,
        };
        let encoded = datagram.encode().unwrap();
        assert_eq!(hex(&encoded), format!("0161016205c801{bytes}"), "{datagram:?}");
        assert_eq!(Datagram::decode(&encoded), Ok(datagram));
    }
}
