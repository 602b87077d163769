//! A speaker that is told any messages and hears any frames, one after another, while time goes by.
#![no_main]

use std::{sync::Arc, time::Duration};

use libfuzzer_sys::fuzz_target;
use lodestone_speaker::{
    core::{Facts, Interface, Kind, Settings, Speaker, facts::Node},
    wire::message::Datagram,
};

fuzz_target!(|bytes: &[u8]| {
    let mut now = lodestone_daemon::clock::now();
    let mut speaker = Speaker::new(now, "a".into(), Settings::default());
    let interface = Interface {
        index: 1,
        name: "eth0".to_owned(),
        mac: Some([2, 0, 0, 0, 0, 1].into()),
        running: true,
        asks: true,
        enslaved: false,
        excluded: false,
        addresses: vec!["192.0.2.250/24".parse().expect("a prefix"), "fe80::1/64".parse().expect("a prefix")],
    };
    speaker.interfaces(now, vec![interface]);
    let nodes = ["a", "b"].map(|name| (name.into(), Node::default()));
    speaker.facts(
        now,
        Arc::new(Facts {
            nodes: nodes.into(),
            ..Facts::default()
        }),
    );
    let mut rest = bytes;
    // Each piece: a byte that says what it is and how much time goes by, one with its length, and the piece.
    while let [what, length, after @ ..] = rest {
        let (piece, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(what >> 2) * 20);
        match what & 3 {
            0 => drop(speaker.frame(now, 1, Kind::Arp, piece)),
            1 => drop(speaker.frame(now, 1, Kind::Ndp, piece)),
            _ => {
                if let Ok(datagram) = Datagram::read(piece) {
                    speaker.datagram(now, [192, 0, 2, 251].into(), datagram);
                }
            }
        }
        if speaker.next_deadline().is_some_and(|due| due <= now) {
            speaker.turn(now);
        }
        while speaker.poll().is_some() {}
    }
});
