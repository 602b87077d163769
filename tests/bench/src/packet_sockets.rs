//! Packet sockets of a host on the LAN.

use anyhow::{Context, Result};
use lodestone_speaker::{core::Interface, net::frames::FrameSockets};
use lodestone_tests::Netns;
use pnet_base::MacAddr;

/// The interface of every host here.
const INTERFACE: &str = "eth0";

/// Sockets on the interface of a host, and its index; to be made within its network, and within a runtime.
pub fn sockets(mac: MacAddr) -> Result<(FrameSockets, u32)> {
    let index = index()?;
    let interface = Interface {
        index,
        name: INTERFACE.to_owned(),
        mac: Some(mac),
        running: true,
        asks: true,
        enslaved: false,
        excluded: false,
        addresses: vec![],
    };
    let mut sockets = FrameSockets::default();
    anyhow::ensure!(sockets.follow(&[interface]).is_empty(), "no packet socket");
    Ok((sockets, index))
}

/// The MAC of a host.
pub fn mac(host: &Netns) -> Result<MacAddr> {
    host.mac(INTERFACE)?.parse().ok().context("no MAC")
}

/// A runtime for one thread.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The index of the interface in the network of this thread.
fn index() -> Result<u32> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev_mcast")?;
    let found = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (index, name) = (words.next()?, words.next()?);
        (name == INTERFACE).then(|| index.parse().ok())?
    });
    found.with_context(|| format!("there is no {INTERFACE}"))
}
