//! A speaker with an address, in a cluster of three, that is told any messages and hears any frames, one after another, while time goes by.
#![no_main]

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use lodestone_crds::{Config, ObjectKey, Resources};
use lodestone_speaker::{
    core::{
        Facts, Interface, Kind, Settings, Speaker,
        facts::{Endpoints, Node, Tenant},
    },
    wire::message::{Datagram, Message},
};
use lodestone_speaker_fuzz::{mend_arp, mend_ndp};
use serde_json::json;

const ADDRESS: &str = "192.0.2.1";

static FACTS: LazyLock<Arc<Facts>> = LazyLock::new(|| {
    let pool = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "p"}, "spec": {"addresses": ["192.0.2.0/24"]},
    });
    let advertisement = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": {"name": "l"}, "spec": {},
    });
    let config = Config::build(&Resources {
        pools: vec![serde_json::from_value(pool).expect("a pool")],
        l2_advertisements: vec![serde_json::from_value(advertisement).expect("an advertisement")],
        undecodable: vec![],
    });
    let tenant = Tenant {
        service: ObjectKey::new("n", "service"),
        labels: [].into(),
        local: false,
        shares: false,
        pool: None,
        endpoints: Arc::new(Endpoints {
            elsewhere: true,
            ..Endpoints::default()
        }),
    };
    Arc::new(Facts {
        nodes: ["a", "b", "c"].map(|name| (name.into(), Node::default())).into(),
        addresses: [(ADDRESS.parse().expect("an address"), Arc::new(vec![tenant]))].into(),
        config: Arc::new(config),
        ..Facts::default()
    })
});

fuzz_target!(|bytes: &[u8]| {
    let mut now = lodestone_runtime::clock::now();
    let mut speaker = Speaker::new(now, "a".into(), Settings::default());
    let interface = Interface {
        index: 1,
        name: "eth0".to_owned(),
        mac: Some([2, 0, 0, 0, 0, 1].into()),
        running: true,
        asks: true,
        enslaved: false,
        excluded: false,
        addresses: vec![
            "192.0.2.250/24".parse().expect("a prefix"),
            "fe80::1/64".parse().expect("a prefix"),
        ],
    };
    speaker.interfaces(now, vec![interface]);
    speaker.facts(now, FACTS.clone());
    let mut rest = bytes;
    // Each piece: a byte that says what it is and how much time goes by, one with its length, and the piece.
    for sequence in 0.. {
        let [what, length, after @ ..] = rest else { break };
        let (piece, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(what >> 3) * 40);
        let mut frame = piece.to_vec();
        match what & 7 {
            0 => drop(speaker.frame(now, 1, Kind::Arp, &frame)),
            1 => drop(speaker.frame(now, 1, Kind::Ndp, &frame)),
            2 => {
                mend_arp(&mut frame);
                speaker.frame(now, 1, Kind::Arp, &frame);
            }
            3 => {
                mend_ndp(&mut frame);
                speaker.frame(now, 1, Kind::Ndp, &frame);
            }
            4 => {
                if let Ok(datagram) = Datagram::read(piece) {
                    speaker.datagram(now, [192, 0, 2, 251].into(), datagram);
                }
            }
            from => {
                if let Ok((message, _)) = postcard::take_from_bytes::<Message>(piece) {
                    let datagram = Datagram {
                        from: if from == 5 { "b" } else { "c" }.into(),
                        to: "a".into(),
                        boot: 1 + u64::from(from == 7),
                        sequence,
                        message,
                    };
                    speaker.datagram(now, [192, 0, 2, 251].into(), datagram);
                }
            }
        }
        if speaker.next_deadline().is_some_and(|due| due <= now) {
            speaker.turn(now);
        }
        assert!(std::iter::from_fn(|| speaker.poll()).count() < 1000, "a flood");
    }
});
