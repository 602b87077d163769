//! Sealing messages: XChaCha20-Poly1305 under a key that HKDF-SHA256 makes from a Secret. Who does not have the Secret can neither
//! read nor write a message.
//!
//! ```text
//!   version (1) | key id (1) | nonce (24) | ciphertext and tag
//! ```
//! The first two are authenticated too. The nonce is random for each process (16 bytes) and counts within it (8 bytes).

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const HEADER: usize = 2;
const NONCE: usize = 24;
const PREFIX: usize = 16;

/// Separates this use of the Secret from any other.
const CONTEXT: &[u8] = b"lodestone peers 1";

/// Why a datagram was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short, or of another version.
    #[error("not a message of this version")]
    Malformed,
    /// Sealed under a key that we don't have, or changed on its way.
    #[error("sealed with another key")]
    WrongKey,
}

/// The key of a cluster.
#[derive(Clone)]
pub struct Key {
    id: u8,
    cipher: XChaCha20Poly1305,
}

impl Key {
    /// Makes the key from the bytes of the Secret; `None` when there are none.
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.is_empty() {
            return None;
        }
        let mut bytes = Zeroizing::new([0; 33]);
        // 33 bytes are far fewer than HKDF can give.
        Hkdf::<Sha256>::new(None, secret)
            .expand(CONTEXT, bytes.as_mut_slice())
            .ok()?;
        let (id, key) = bytes.split_first()?;
        Some(Self {
            id: *id,
            cipher: XChaCha20Poly1305::new_from_slice(key).ok()?,
        })
    }

    /// Opens a datagram that was sealed under this key.
    ///
    /// # Errors
    /// When it was not.
    pub fn open(&self, datagram: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (header, rest) = datagram.split_at_checked(HEADER).ok_or(OpenError::Malformed)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE>().ok_or(OpenError::Malformed)?;
        match header {
            [VERSION, id] if *id == self.id => {}
            [VERSION, _] => return Err(OpenError::WrongKey),
            _ => return Err(OpenError::Malformed),
        }
        let payload = Payload {
            msg: ciphertext,
            aad: header,
        };
        self.cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| OpenError::WrongKey)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Seals the messages of one process.
#[derive(Debug)]
pub struct Sealer {
    prefix: [u8; PREFIX],
    count: u64,
}

impl Sealer {
    /// `random` must be new for each process: no nonce may ever be used twice under one key.
    #[must_use]
    pub const fn new(random: [u8; PREFIX]) -> Self {
        Self {
            prefix: random,
            count: 0,
        }
    }

    /// Seals `message` under `key`; `None` when the cipher refuses, which it does only for messages of gigabytes.
    pub fn seal(&mut self, key: &Key, message: &[u8]) -> Option<Vec<u8>> {
        self.count = self.count.checked_add(1)?;
        let mut nonce = [0; NONCE];
        nonce[..PREFIX].copy_from_slice(&self.prefix);
        nonce[PREFIX..].copy_from_slice(&self.count.to_be_bytes());
        let header = [VERSION, key.id];
        let ciphertext = key
            .cipher
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: message,
                    aad: &header,
                },
            )
            .ok()?;
        Some([&header, nonce.as_slice(), &ciphertext].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> Key {
        Key::new(secret.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_with_the_same_key_only() {
        let mut sealer = Sealer::new([7; 16]);
        let sealed = sealer.seal(&key("secret"), b"hello").unwrap();
        assert_eq!(sealed.len(), 5 + 42);
        assert_eq!(key("secret").open(&sealed).unwrap(), b"hello");
        assert_eq!(key("other").open(&sealed), Err(OpenError::WrongKey));
        assert!(Key::new(b"").is_none());
    }

    #[test]
    fn a_message_that_was_changed_or_cut_anywhere_is_not_opened() {
        let sealed = Sealer::new([7; 16]).seal(&key("secret"), b"hello").unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(key("secret").open(&changed).is_err(), "byte {index}");
            assert!(key("secret").open(&sealed[..index]).is_err(), "length {index}");
        }
    }

    #[test]
    fn no_two_messages_look_alike() {
        let mut sealer = Sealer::new([7; 16]);
        let key = key("secret");
        assert_ne!(sealer.seal(&key, b"hello"), sealer.seal(&key, b"hello"));
    }
}
