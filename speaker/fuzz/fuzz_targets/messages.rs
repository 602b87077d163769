//! Any bytes as a sealed datagram, and as what is in one.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lodestone_speaker_core::wire::{envelope::Key, message::Datagram};

static KEY: LazyLock<Key> = LazyLock::new(|| Key::new(b"secret").expect("a key"));

fuzz_target!(|bytes: &[u8]| {
    assert!(KEY.open(bytes).is_err(), "nobody guesses the key");
    if let Ok(datagram) = Datagram::read(bytes) {
        let written = datagram.write().expect("what was read is written");
        assert_eq!(Datagram::read(&written).as_ref(), Ok(&datagram));
    }
});
