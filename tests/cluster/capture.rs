//! What goes over the LAN, recorded.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result, bail};

use crate::{cluster::Cluster, netns::Netns, network::lan_port};

/// A datagram that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Where it came from.
    pub from: SocketAddrV4,
    /// Where it was sent to.
    pub to: SocketAddrV4,
    /// What it carried.
    pub payload: Vec<u8>,
}

impl Cluster {
    /// Records so many datagrams over IPv4 that a host sends to UDP port `port` by the LAN.
    ///
    /// # Errors
    /// When `tcpdump` fails.
    pub fn record(&self, host: &str, port: u16, count: usize) -> Result<Vec<Recorded>> {
        let lan = Netns::new(self.spec().namespace("lan"));
        let (count, device) = (count.to_string(), lan_port(host));
        let filter = format!("ip and udp dst port {port}");
        let output = lan
            .tool("timeout")
            .args([
                "30", "tcpdump", "-i", &device, "-Q", "in", "-U", "-c", &count, "-w", "-", &filter,
            ])
            .output()?;
        if !output.status.success() {
            bail!("tcpdump: {}", String::from_utf8_lossy(&output.stderr));
        }
        read(&output.stdout).context("tcpdump has written something else")
    }
}

/// Reads a file of tcpdump: a header of 24 bytes, and before each frame 16 bytes with its length in the third four.
fn read(file: &[u8]) -> Option<Vec<Recorded>> {
    let mut rest = file.get(24..)?;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_ne_bytes(*rest.get(8..)?.first_chunk()?)).ok()?;
        let frame = rest.get(16..16 + length)?;
        rest = rest.get(16 + length..)?;
        let packet = frame.get(14..)?;
        let header = usize::from(packet.first()? & 15) * 4;
        let udp = packet.get(header..)?;
        let address = |at: usize| Some(Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?));
        let port = |at: usize| Some(u16::from_be_bytes(*udp.get(at..)?.first_chunk()?));
        all.push(Recorded {
            from: SocketAddrV4::new(address(12)?, port(0)?),
            to: SocketAddrV4::new(address(16)?, port(2)?),
            payload: udp.get(8..usize::from(port(4)?))?.to_vec(),
        });
    }
    Some(all)
}
