//! The pcap format, in which `tcpdump -w -` writes frames.

use std::{
    io::{self, ErrorKind, Read},
    time::Duration,
};

/// The length of the header of a file.
const FILE_HEADER: usize = 24;

/// The length of the header of a frame: seconds, microseconds, the captured length, the length.
const FRAME_HEADER: usize = 16;

/// A frame, as the kernel saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedFrame {
    /// The time since the Unix epoch, by the kernel. A loaded machine does not distort it.
    pub time: Duration,
    /// The frame, from its Ethernet header on.
    pub bytes: Vec<u8>,
}

/// Reads frames until the end of the input. Passes each to `handle` as soon as it is there. A frame
/// that is cut off at the end of the input is left out.
///
/// # Errors
/// When the input cannot be read.
pub fn read_frames(mut input: impl Read, mut handle: impl FnMut(CapturedFrame)) -> io::Result<()> {
    let mut read = || -> io::Result<()> {
        input.read_exact(&mut [0; FILE_HEADER])?;
        loop {
            let mut header = [0; FRAME_HEADER];
            input.read_exact(&mut header)?;
            let [seconds, microseconds, length, _] = words(&header);
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            input.read_exact(&mut bytes)?;
            let time = Duration::from_secs(seconds.into()) + Duration::from_micros(microseconds.into());
            handle(CapturedFrame { time, bytes });
        }
    };
    match read() {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(()),
    }
}

/// `tcpdump` writes the words of its host.
fn words(header: &[u8; FRAME_HEADER]) -> [u32; 4] {
    let (words, _) = header.as_chunks();
    std::array::from_fn(|index| words.get(index).copied().map_or(0, u32::from_ne_bytes))
}
