//! Any bytes as a frame of Neighbor Discovery, as they are and with right headers: what is read is answered with a frame that is read, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lodestone_speaker_core::wire::ndp::Packet;
use lodestone_speaker_fuzz::mend_ndp;

fuzz_target!(|bytes: &[u8]| {
    let mut frame = bytes.to_vec();
    take(&frame);
    mend_ndp(&mut frame);
    take(&frame);
});

fn take(frame: &[u8]) {
    if let Some(Packet::Solicitation(asked)) = Packet::read(frame) {
        let mac = asked.destination;
        let answer: Vec<u8> = asked.answer(mac, mac, None).into();
        // An answer to a multicast address is none; the kernel's own check of the source is not repeated here.
        if let Some(Packet::Advertisement(read)) = Packet::read(&answer) {
            assert_eq!(read.target, asked.target);
        }
    }
}
