//! Packet sockets on the LAN interface of a host of the test cluster.

use anyhow::{Context, Result};
use lodestone_speaker::net::frame_sockets::FrameSockets;
use lodestone_speaker_core::{Interface, InterfaceIndex};
use lodestone_tests::Netns;
use pnet_base::MacAddr;

/// Name of the LAN interface on every host.
const INTERFACE: &str = "eth0";

/// Opens sockets on the LAN interface, whose MAC is `mac`. Returns them with the interface index.
///
/// Call this inside the host's network namespace and inside a Tokio runtime.
pub fn open_sockets(mac: MacAddr) -> Result<(FrameSockets, InterfaceIndex)> {
    let index = interface_index()?;
    let interface = Interface {
        index,
        name: INTERFACE.to_owned(),
        mac: Some(mac),
        running: true,
        can_arp: true,
        enslaved: false,
        excluded: false,
        addresses: vec![],
    };
    let mut sockets = FrameSockets::default();
    let failed = sockets.follow(&[interface]);
    anyhow::ensure!(failed.is_empty(), "cannot open a packet socket on {INTERFACE}");
    Ok((sockets, index))
}

/// Returns the MAC of a host on the LAN.
pub fn lan_mac(host: &Netns) -> Result<MacAddr> {
    let text = host.mac(INTERFACE)?;
    text.parse().ok().with_context(|| format!("not a MAC: {text}"))
}

/// Returns a Tokio runtime for the current thread.
///
/// The packet sockets need one, and a thread that entered a network namespace needs its own.
pub fn single_thread_runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Returns the index of the LAN interface in the network namespace of this thread.
fn interface_index() -> Result<InterfaceIndex> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev_mcast")?;
    let index = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (index, name) = (words.next()?, words.next()?);
        (name == INTERFACE).then(|| index.parse().ok().map(InterfaceIndex))?
    });
    index.with_context(|| format!("no interface {INTERFACE} in this network namespace"))
}
