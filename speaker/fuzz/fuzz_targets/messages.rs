//! Reads arbitrary bytes as a sealed datagram, and as the plain content of one.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lodestone_speaker_core::wire::{envelope::Key, message::Datagram};

static KEY: LazyLock<Key> = LazyLock::new(|| Key::new(b"secret").expect("the Secret is not empty"));

fuzz_target!(|bytes: &[u8]| {
    assert!(KEY.open(bytes).is_err(), "the fuzzer cannot know the key");
    if let Ok(datagram) = Datagram::decode(bytes) {
        let written = datagram.encode().expect("every parsed datagram can be encoded");
        assert_eq!(Datagram::decode(&written).as_ref(), Ok(&datagram));
    }
});
