//! Recording datagrams on the LAN.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result, bail};

use crate::{cluster::Cluster, netns::Netns, network::lan_port, pcap::read_frames};

/// A recorded UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedDatagram {
    /// The source.
    pub from: SocketAddrV4,
    /// The destination.
    pub to: SocketAddrV4,
    /// The UDP payload.
    pub payload: Vec<u8>,
}

impl Cluster {
    /// Records the next `count` IPv4 datagrams that a host sends over the LAN to this UDP port.
    ///
    /// # Errors
    /// When `tcpdump` fails, or fewer datagrams arrive within 30 seconds.
    pub fn record_datagrams(&self, host: &str, port: u16, count: usize) -> Result<Vec<RecordedDatagram>> {
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
        let mut datagrams = Vec::new();
        read_frames(&output.stdout[..], |frame| datagrams.push(datagram(&frame.bytes)))?;
        let datagrams: Option<Vec<_>> = datagrams.into_iter().collect();
        datagrams.context("a recorded frame holds no datagram")
    }
}

/// Parses the IPv4 and UDP headers of a frame.
fn datagram(frame: &[u8]) -> Option<RecordedDatagram> {
    let packet = frame.get(14..)?;
    let header = usize::from(packet.first()? & 15) * 4;
    let udp = packet.get(header..)?;
    let address = |at: usize| Some(Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?));
    let port = |at: usize| Some(u16::from_be_bytes(*udp.get(at..)?.first_chunk()?));
    Some(RecordedDatagram {
        from: SocketAddrV4::new(address(12)?, port(0)?),
        to: SocketAddrV4::new(address(16)?, port(2)?),
        payload: udp.get(8..usize::from(port(4)?))?.to_vec(),
    })
}
