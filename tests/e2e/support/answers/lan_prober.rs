//! A host on the LAN that asks for addresses all the time: by ARP and by NDP.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Result;
use lodestone_speaker_core::{
    InterfaceIndex,
    wire::{
        arp::{self, ArpPacket},
        ndp::{self, NdpPacket},
    },
};
use lodestone_tests::{CapturedFrame, Netns, Tool};
use pnet_base::MacAddr;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use crate::support::frame_sockets;

/// How often the client asks for each address.
const INTERVAL: Duration = Duration::from_millis(20);

/// The interface of the client on the LAN.
const INTERFACE: &str = "eth0";

/// What the client sends or gets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packet {
    Request,
    Answer(Answer),
}

/// An answer to the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// The MAC in it.
    pub(super) mac: MacAddr,
    /// Whether it came from that MAC. Otherwise a deputy sent it, and the node may be dead.
    pub(super) from_owner: bool,
}

/// The client, with its own addresses.
#[derive(Debug)]
pub(super) struct LanProber {
    host: Netns,
    index: InterfaceIndex,
    mac: MacAddr,
    ipv4: Ipv4Addr,
    link_local: Ipv6Addr,
}

impl LanProber {
    pub(super) fn new(host: Netns) -> Self {
        let text = host.ip(&["-j", "address", "show", INTERFACE]).unwrap();
        let shown: Value = serde_json::from_str(&text).unwrap();
        let interface = &shown[0];
        let address = |family: &str, scope: &str| -> IpAddr {
            let all = interface["addr_info"].as_array().unwrap();
            let found = all.iter().find(|one| one["family"] == family && one["scope"] == scope);
            found.unwrap()["local"].as_str().unwrap().parse().unwrap()
        };
        let (IpAddr::V4(ipv4), IpAddr::V6(link_local)) = (address("inet", "global"), address("inet6", "link")) else {
            panic!("{interface}")
        };
        Self {
            index: InterfaceIndex(serde_json::from_value(interface["ifindex"].clone()).unwrap()),
            mac: interface["address"].as_str().unwrap().parse().unwrap(),
            ipv4,
            link_local,
            host,
        }
    }

    /// Captures the requests and answers of this host.
    pub(super) fn capture(&self) -> Tool {
        let packets = "arp or (icmp6 and (ip6[40] = 135 or ip6[40] = 136))";
        // Without the first option, tcpdump gets the packets about once a second. With it, each
        // packet takes as much of the kernel's buffer as the longest that is captured.
        let options = [
            "--immediate-mode",
            "-s",
            "128",
            "-U",
            "-i",
            INTERFACE,
            "-w",
            "-",
            packets,
        ];
        self.host.tool("tcpdump").args(options)
    }

    /// Asks for each address at each interval, until `stop`.
    pub(super) fn ask(&self, targets: &[IpAddr], stop: &AtomicBool) -> Result<()> {
        let requests: Vec<Vec<u8>> = targets.iter().map(|target| self.request(*target)).collect();
        self.host.within(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let sockets = frame_sockets(INTERFACE, self.index, self.mac);
                let mut ticks = interval(INTERVAL);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    for request in &requests {
                        sockets.send(self.index, request)?;
                    }
                }
                Ok(())
            })
        })
    }

    fn request(&self, target: IpAddr) -> Vec<u8> {
        match target {
            IpAddr::V4(target) => arp::request(self.mac, self.ipv4, target).to_vec(),
            IpAddr::V6(target) => ndp::solicitation(self.mac, Some(self.link_local), target),
        }
    }

    /// Returns the address that a frame asks for, or tells the MAC of. Gratuitous packets answer
    /// nobody.
    pub(super) fn packet(&self, frame: &CapturedFrame) -> Option<(IpAddr, Packet)> {
        let bytes = &frame.bytes;
        let to_client = bytes.starts_with(&<[u8; 6]>::from(self.mac));
        if let Some(arp) = ArpPacket::parse(bytes) {
            return match arp.reply {
                false => (arp.sender_mac == self.mac).then(|| (arp.target.into(), Packet::Request)),
                true => to_client.then(|| (arp.sender.into(), answer(arp.source, arp.sender_mac))),
            };
        }
        match NdpPacket::parse(bytes)? {
            NdpPacket::Solicitation(ndp) => (ndp.sender_mac == self.mac).then(|| (ndp.target.into(), Packet::Request)),
            NdpPacket::Advertisement(ndp) if to_client => {
                Some((ndp.target.into(), answer(ndp.source, ndp.target_mac?)))
            }
            NdpPacket::Advertisement(_) => None,
        }
    }
}

fn answer(source: MacAddr, mac: MacAddr) -> Packet {
    Packet::Answer(Answer {
        mac,
        from_owner: source == mac,
    })
}
