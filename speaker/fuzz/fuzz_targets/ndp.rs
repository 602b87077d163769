//! Parses arbitrary bytes as Neighbor Discovery frames, unchanged and with valid headers.
//!
//! The reply to every accepted solicitation must advertise the target.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lodestone_speaker_core::wire::ndp::NdpPacket;
use lodestone_speaker_fuzz::complete_ndp;

fuzz_target!(|bytes: &[u8]| {
    let mut frame = bytes.to_vec();
    parse_and_reply(&frame);
    complete_ndp(&mut frame);
    parse_and_reply(&frame);
});

fn parse_and_reply(frame: &[u8]) {
    if let Some(NdpPacket::Solicitation(solicitation)) = NdpPacket::parse(frame) {
        let mac = solicitation.destination;
        let frame = solicitation.reply(mac, mac, None);
        // The parser may reject the reply: the sender of a solicitation is arbitrary here. It can
        // be a multicast address, and a solicited advertisement must not go to one.
        if let Some(NdpPacket::Advertisement(reply)) = NdpPacket::parse(&frame) {
            assert_eq!(reply.target, solicitation.target);
        }
    }
}
