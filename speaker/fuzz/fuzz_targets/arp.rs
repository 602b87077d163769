//! Parses arbitrary bytes as ARP frames, unchanged and with a valid header.
//!
//! The parser must also accept the reply to every packet that it accepts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lodestone_speaker_core::wire::arp::ArpPacket;
use lodestone_speaker_fuzz::complete_arp;

fuzz_target!(|bytes: &[u8]| {
    let mut frame = bytes.to_vec();
    parse_and_reply(&frame);
    complete_arp(&mut frame);
    parse_and_reply(&frame);
});

fn parse_and_reply(frame: &[u8]) {
    if let Some(packet) = ArpPacket::parse(frame) {
        let frame = packet.reply(packet.source, packet.sender_mac);
        let reply = ArpPacket::parse(&frame).expect("the parser accepts our own reply");
        assert!(reply.reply && reply.sender == packet.target && reply.target == packet.sender);
    }
}
