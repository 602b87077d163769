//! Any bytes as an ARP frame: what is read is answered with a frame that is read, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lodestone_speaker::wire::arp::Packet;

fuzz_target!(|bytes: &[u8]| {
    if let Some(packet) = Packet::read(bytes) {
        let answer = packet.answer(packet.source, packet.sender_mac);
        let read = Packet::read(&answer).expect("our own answer is read");
        assert!(read.reply && read.sender == packet.target && read.target == packet.sender);
    }
});
