//! The network interfaces of this node, from netlink.
//!
//! A message from the kernel is only a hint that something changed. Everything is then read again,
//! so lost and reordered messages do no harm.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use ipnet::IpNet;
use lodestone_runtime::task::spawn;
use lodestone_speaker_core::{Interface, InterfaceIndex, InterfacePattern, KernelSettings, is_excluded};
use pnet_base::MacAddr;
use rtnetlink::{
    Handle, MulticastGroup, new_multicast_connection,
    packet_route::{
        address::{AddressAttribute, AddressHeaderFlags},
        link::{LinkAttribute, LinkFlags, LinkMessage},
    },
};
use tokio::sync::watch;

use super::sysctl;

/// The pause after a message. Changes come in bursts, and one read then covers all of them.
const SETTLE: Duration = Duration::from_millis(10);

/// How often everything is read without a message.
const RESYNC: Duration = Duration::from_secs(60);

/// The pause before netlink is opened again after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// The interfaces of this node, and the kernel's settings for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Links {
    /// All interfaces.
    pub interfaces: Vec<Interface>,
    /// The kernel's settings.
    pub kernel: KernelSettings,
}

/// Publishes the links whenever they change; it never ends. Interfaces that match `exclude` are
/// marked as excluded.
pub async fn follow(links: watch::Sender<Links>, exclude: Vec<InterfacePattern>) {
    loop {
        if let Err(error) = follow_once(&links, &exclude).await {
            tracing::error!(error = format!("{error:#}"), "netlink failed; retrying");
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow_once(links: &watch::Sender<Links>, exclude: &[InterfacePattern]) -> Result<()> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
    ];
    let (connection, handle, mut messages) =
        new_multicast_connection(&groups).context("cannot open a netlink socket")?;
    let _connection = spawn(connection);
    loop {
        let interfaces = read_interfaces(&handle, exclude).await?;
        let kernel = sysctl::read(&interfaces);
        let current = Links { interfaces, kernel };
        links.send_if_modified(|known| {
            let changed = *known != current;
            *known = current;
            changed
        });
        tokio::select! {
            // An overrun of the socket counts as a message: something changed.
            message = messages.next() => { message.context("the netlink socket was closed")?; }
            () = tokio::time::sleep(RESYNC) => {}
        }
        tokio::time::sleep(SETTLE).await;
        while let Ok(_message) = messages.try_recv() {}
    }
}

async fn read_interfaces(handle: &Handle, exclude: &[InterfacePattern]) -> Result<Vec<Interface>> {
    let mut addresses = read_addresses(handle).await?;
    let mut interfaces = Vec::new();
    let mut stream = handle.link().get().execute();
    while let Some(link) = stream.try_next().await.context("cannot read the links")? {
        let mut addresses = addresses.remove(&InterfaceIndex(link.header.index)).unwrap_or_default();
        addresses.sort();
        interfaces.push(interface(&link, addresses, exclude));
    }
    interfaces.sort_by_key(|interface| interface.index);
    Ok(interfaces)
}

/// Reads the usable addresses, with their prefixes, by interface index.
async fn read_addresses(handle: &Handle) -> Result<BTreeMap<InterfaceIndex, Vec<IpNet>>> {
    let mut addresses: BTreeMap<InterfaceIndex, Vec<IpNet>> = BTreeMap::new();
    let mut stream = handle.address().get().execute();
    while let Some(message) = stream.try_next().await.context("cannot read the addresses")? {
        // A node must not send from an address that is tentative or a duplicate (RFC 4862, section
        // 5.4).
        let flags = message.header.flags;
        let unusable = flags.contains(AddressHeaderFlags::Dadfailed)
            || (flags.contains(AddressHeaderFlags::Tentative) && !flags.contains(AddressHeaderFlags::Optimistic));
        if unusable {
            continue;
        }
        // The prefix belongs to the attribute Address, which on a point-to-point link is the other
        // end.
        let address = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
        let network = address.and_then(|address| IpNet::new(address, message.header.prefix_len).ok());
        addresses
            .entry(InterfaceIndex(message.header.index))
            .or_default()
            .extend(network);
    }
    Ok(addresses)
}

fn interface(link: &LinkMessage, addresses: Vec<IpNet>, exclude: &[InterfacePattern]) -> Interface {
    let flags = link.header.flags;
    let mut interface = Interface {
        index: InterfaceIndex(link.header.index),
        name: String::new(),
        mac: None,
        running: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        can_arp: flags.contains(LinkFlags::Broadcast) && !flags.contains(LinkFlags::Noarp),
        enslaved: false,
        excluded: false,
        addresses,
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => {
                interface.excluded = is_excluded(exclude, name);
                interface.name.clone_from(name);
            }
            LinkAttribute::Address(bytes) => {
                interface.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddr::from)
            }
            LinkAttribute::Controller(index) => interface.enslaved = *index != 0,
            _ => {}
        }
    }
    interface
}
