//! Seals the messages between speakers, and opens them.
//!
//! The cipher is XChaCha20-Poly1305. HKDF-SHA256 derives its key from a Secret, so only holders of
//! the Secret can read or write messages.
//!
//! ```text
//!   version (1) | key id (1) | nonce (24) | ciphertext and tag
//! ```
//! Sizes are in bytes. Version and key id are authenticated too. The nonce consists of 16 bytes
//! that are random for each process and an 8-byte counter.

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Version of the envelope format.
const VERSION: u8 = 1;
/// Length of version and key id, in bytes.
const HEADER: usize = 2;
/// Length of a nonce, in bytes.
const NONCE: usize = 24;
/// Length of the random part of a nonce, in bytes. The counter fills the rest.
const PREFIX: usize = 16;

/// HKDF info string: separates this use of the Secret from any other.
const CONTEXT: &[u8] = b"lodestone peers 1";

/// Why a datagram could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The datagram is too short or has an unknown version.
    #[error("not a message of this version")]
    Malformed,
    /// The datagram was sealed under another key, or modified in transit.
    #[error("sealed with another key")]
    WrongKey,
}

/// Why a key cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The Secret has no bytes.
    #[error("the Secret is empty")]
    Empty,
    /// The key derivation refused. It does not do so for keys of this length.
    #[error("cannot derive a key from the Secret")]
    Derivation,
}

/// Why a message cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// This process has sealed 2^64 messages. A nonce must not repeat.
    #[error("all nonces of this process are used")]
    NoncesExhausted,
    /// The message is longer than the cipher allows, which is many gigabytes.
    #[error("the message is too long")]
    TooLong,
}

/// The symmetric key that all speakers of a cluster share.
#[derive(Clone)]
pub struct Key {
    id: u8,
    cipher: XChaCha20Poly1305,
}

impl Key {
    /// Derives the key from the bytes of the Secret.
    ///
    /// # Errors
    /// [`KeyError::Empty`] if there are no bytes.
    pub fn new(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        let mut bytes = Zeroizing::new([0; 33]);
        // HKDF-SHA256 can output up to 8160 bytes, so 33 always succeed.
        Hkdf::<Sha256>::new(None, secret)
            .expand(CONTEXT, bytes.as_mut_slice())
            .map_err(|_| KeyError::Derivation)?;
        let (id, key) = bytes.split_first().ok_or(KeyError::Derivation)?;
        Ok(Self {
            id: *id,
            cipher: XChaCha20Poly1305::new_from_slice(key).map_err(|_| KeyError::Derivation)?,
        })
    }

    /// Verifies and decrypts a datagram that was sealed under this key.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] if the datagram is too short or has another version.
    /// [`OpenError::WrongKey`] if its key id or its tag does not match.
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

/// Seals the messages of one process, each under a nonce of its own.
#[derive(Debug)]
pub struct Sealer {
    prefix: [u8; PREFIX],
    count: u64,
}

impl Sealer {
    /// Creates a sealer. `random` must be fresh for each process, because a nonce must never repeat
    /// under one key.
    #[must_use]
    pub const fn new(random: [u8; PREFIX]) -> Self {
        Self {
            prefix: random,
            count: 0,
        }
    }

    /// Encrypts `message` under `key`.
    ///
    /// # Errors
    /// [`SealError::NoncesExhausted`] after 2^64 messages, [`SealError::TooLong`] if the cipher
    /// refuses the length.
    pub fn seal(&mut self, key: &Key, message: &[u8]) -> Result<Vec<u8>, SealError> {
        self.count = self.count.checked_add(1).ok_or(SealError::NoncesExhausted)?;
        let mut nonce = [0; NONCE];
        let (prefix, counter) = nonce.split_at_mut(PREFIX);
        prefix.copy_from_slice(&self.prefix);
        counter.copy_from_slice(&self.count.to_be_bytes());
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
            .map_err(|_| SealError::TooLong)?;
        Ok([&header, nonce.as_slice(), &ciphertext].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> Key {
        Key::new(secret.as_bytes()).unwrap()
    }

    #[test]
    fn message_opens_under_its_own_key_only() {
        let mut sealer = Sealer::new([7; 16]);
        let sealed = sealer.seal(&key("secret"), b"hello").unwrap();
        assert_eq!(sealed.len(), 5 + 42);
        assert_eq!(key("secret").open(&sealed).unwrap(), b"hello");
        assert_eq!(key("other").open(&sealed), Err(OpenError::WrongKey));
        assert_eq!(Key::new(b"").err(), Some(KeyError::Empty));
    }

    #[test]
    fn modified_or_truncated_message_does_not_open() {
        let sealed = Sealer::new([7; 16]).seal(&key("secret"), b"hello").unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(key("secret").open(&changed).is_err(), "byte {index}");
            assert!(key("secret").open(&sealed[..index]).is_err(), "length {index}");
        }
    }

    #[test]
    fn equal_messages_are_sealed_differently() {
        let mut sealer = Sealer::new([7; 16]);
        let key = key("secret");
        assert_ne!(sealer.seal(&key, b"hello"), sealer.seal(&key, b"hello"));
    }
}
