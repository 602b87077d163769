//! Feeds arbitrary frames and messages to a speaker with one address, in a cluster of three nodes,
//! while time passes.
#![no_main]

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use lodestone_speaker_core::{
    BootId, ClusterSnapshot, FrameKind, InterfaceIndex, Settings, Speaker, testing,
    wire::message::{Datagram, Message},
};
use lodestone_speaker_fuzz::{complete_arp, complete_ndp};

/// The maximum number of outputs that one input may cause.
const MAX_OUTPUTS: usize = 1000;

/// The interface of the speaker.
const LAN: InterfaceIndex = InterfaceIndex(1);

static SNAPSHOT: LazyLock<Arc<ClusterSnapshot>> =
    LazyLock::new(|| Arc::new(testing::snapshot(&["a", "b", "c"], &[testing::ADDRESS])));

fuzz_target!(|bytes: &[u8]| {
    let mut now = testing::start();
    let mut speaker = Speaker::new(now, "a".into(), Settings::default());
    let interface = testing::ethernet(LAN.0, "eth0", &["192.0.2.250/24", "fe80::1/64"]);
    speaker.handle_interfaces(now, vec![interface]);
    speaker.handle_snapshot(now, SNAPSHOT.clone());
    let mut rest = bytes;
    // The input is a sequence of pieces. Each one has a header of two bytes. The first holds the
    // kind of the piece (3 bits) and the time that passes before it (5 bits, in units of 40 ms).
    // The second is the length of the piece.
    for sequence in 0.. {
        let [kind_and_time, length, after @ ..] = rest else {
            break;
        };
        let (piece, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(kind_and_time >> 3) * 40);
        let mut frame = piece.to_vec();
        match kind_and_time & 7 {
            0 => drop(speaker.handle_frame(now, LAN, FrameKind::Arp, &frame)),
            1 => drop(speaker.handle_frame(now, LAN, FrameKind::Ndp, &frame)),
            2 => {
                complete_arp(&mut frame);
                speaker.handle_frame(now, LAN, FrameKind::Arp, &frame);
            }
            3 => {
                complete_ndp(&mut frame);
                speaker.handle_frame(now, LAN, FrameKind::Ndp, &frame);
            }
            4 => {
                if let Ok(datagram) = Datagram::decode(piece) {
                    speaker.handle_datagram(now, [192, 0, 2, 251].into(), datagram);
                }
            }
            from => {
                if let Ok((message, _)) = postcard::take_from_bytes::<Message>(piece) {
                    let datagram = Datagram {
                        from: if from == 5 { "b" } else { "c" }.into(),
                        to: "a".into(),
                        boot: BootId(1 + u64::from(from == 7)),
                        sequence,
                        message,
                    };
                    speaker.handle_datagram(now, [192, 0, 2, 251].into(), datagram);
                }
            }
        }
        if speaker.next_timeout().is_some_and(|due| due <= now) {
            speaker.handle_timeout(now);
        }
        let outputs = std::iter::from_fn(|| speaker.poll_output()).count();
        assert!(outputs < MAX_OUTPUTS, "one input caused {outputs} outputs");
    }
});
