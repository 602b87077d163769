//! Any bytes as an ARP frame, as they are and with the header of one: what is read is answered with a frame that is read, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lodestone_speaker_core::wire::arp::Packet;
use lodestone_speaker_fuzz::mend_arp;

fuzz_target!(|bytes: &[u8]| {
    let mut frame = bytes.to_vec();
    take(&frame);
    mend_arp(&mut frame);
    take(&frame);
});

fn take(frame: &[u8]) {
    if let Some(packet) = Packet::read(frame) {
        let answer = packet.answer(packet.source, packet.sender_mac);
        let read = Packet::read(&answer).expect("our own answer is read");
        assert!(read.reply && read.sender == packet.target && read.target == packet.sender);
    }
}
