//! Any frames and any messages, one after another: nothing breaks, and what was owned goes on being answered for.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn any_frames_and_messages_are_taken_in_without_harm(
        soup in proptest::collection::vec((0..3_u8, 0..200_u64, proptest::collection::vec(any::<u8>(), 0..120)), 0..60)
    ) {
        let (mut speaker, mut now, request) = alone();
        for (what, time, bytes) in soup {
            now += Duration::from_millis(time);
            match what {
                0 => drop(speaker.frame(now, 1, Kind::Arp, &bytes)),
                1 => drop(speaker.frame(now, 1, Kind::Ndp, &bytes)),
                _ => {
                    if let Ok(datagram) = Datagram::read(&bytes) {
                        speaker.datagram(now, [192, 0, 2, 251].into(), datagram);
                    }
                }
            }
            if speaker.next_deadline().is_some_and(|due| due <= now) {
                speaker.turn(now);
            }
            while speaker.poll().is_some() {}
        }
        prop_assert!(speaker.frame(now, 1, Kind::Arp, &request).is_some());
    }
}
