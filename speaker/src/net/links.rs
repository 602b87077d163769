//! The network interfaces of this node, by netlink. A message of the kernel only says that something changed: then everything is read anew,
//! which is right whatever was lost or comes out of order.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use ipnet::IpNet;
use pnet_base::MacAddr;
use rtnetlink::{
    Handle, MulticastGroup, new_multicast_connection,
    packet_route::{
        address::{AddressAttribute, AddressHeaderFlags},
        link::{LinkAttribute, LinkFlags, LinkMessage},
    },
};
use tokio::sync::watch;

use super::kernel;
use crate::core::{
    Interface,
    exclude::{Pattern, is_excluded},
    preflight::Kernel,
};
use lodestone_runtime::task::spawn;

/// Changes come in swarms: a moment is waited for the rest.
const SETTLE: Duration = Duration::from_millis(10);
/// Everything is read anew this often even without a change.
const RESYNC: Duration = Duration::from_secs(60);

/// The interfaces, and what the kernel does with packets on them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Links {
    /// All interfaces.
    pub interfaces: Vec<Interface>,
    /// How the kernel is set.
    pub kernel: Kernel,
}

/// Tells the links whenever they change, for ever; `exclude` are those that are never announced on.
pub async fn follow(links: watch::Sender<Links>, exclude: Vec<Pattern>) {
    loop {
        if let Err(error) = follow_once(&links, &exclude).await {
            tracing::error!(error = format!("{error:#}"), "netlink has failed; trying again");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn follow_once(links: &watch::Sender<Links>, exclude: &[Pattern]) -> Result<()> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
    ];
    let (connection, handle, mut messages) = new_multicast_connection(&groups).context("no netlink socket")?;
    let _connection = spawn(connection);
    loop {
        let interfaces = read(&handle, exclude).await?;
        let kernel = kernel::read(&interfaces);
        let read = Links { interfaces, kernel };
        links.send_if_modified(|known| {
            let changed = *known != read;
            *known = read;
            changed
        });
        tokio::select! {
            // An overrun is a message like any other here: something changed.
            message = messages.next() => { message.context("the netlink socket was closed")?; }
            () = tokio::time::sleep(RESYNC) => {}
        }
        tokio::time::sleep(SETTLE).await;
        while let Ok(_message) = messages.try_recv() {}
    }
}

async fn read(handle: &Handle, exclude: &[Pattern]) -> Result<Vec<Interface>> {
    let mut addresses: BTreeMap<u32, Vec<IpNet>> = BTreeMap::new();
    let mut stream = handle.address().get().execute();
    while let Some(message) = stream.try_next().await.context("can't read the addresses")? {
        // One that is still being probed for, or was found taken, is nothing to speak from (RFC 4862, section 5.4).
        let flags = message.header.flags;
        let unusable = flags.contains(AddressHeaderFlags::Dadfailed)
            || (flags.contains(AddressHeaderFlags::Tentative) && !flags.contains(AddressHeaderFlags::Optimistic));
        if unusable {
            continue;
        }
        // The prefix is that of Address; on a point-to-point link it is the other end's.
        let address = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
        let network = address.and_then(|address| IpNet::new(address, message.header.prefix_len).ok());
        addresses.entry(message.header.index).or_default().extend(network);
    }
    let mut interfaces = Vec::new();
    let mut stream = handle.link().get().execute();
    while let Some(link) = stream.try_next().await.context("can't read the links")? {
        let mut addresses = addresses.remove(&link.header.index).unwrap_or_default();
        addresses.sort();
        interfaces.push(interface(&link, addresses, exclude));
    }
    interfaces.sort_by_key(|interface| interface.index);
    Ok(interfaces)
}

fn interface(link: &LinkMessage, addresses: Vec<IpNet>, exclude: &[Pattern]) -> Interface {
    let flags = link.header.flags;
    let mut interface = Interface {
        index: link.header.index,
        name: String::new(),
        mac: None,
        running: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        asks: flags.contains(LinkFlags::Broadcast) && !flags.contains(LinkFlags::Noarp),
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
