//! What a host on the LAN sees: answers, and its kernel's neighbour table.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::netns::Netns;

/// How long a host waits for one answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the test server says: its pod and node, and whom it sees.
pub type Answer = BTreeMap<String, String>;

impl Netns {
    /// Fetches `http://ADDRESS/` of the test server, over a connection of its own.
    ///
    /// # Errors
    /// When there is no answer, or not one of the test server.
    pub fn http(&self, address: &str, port: u16) -> Result<Answer> {
        let to = SocketAddr::new(address.parse()?, port);
        self.within(|| {
            let mut stream =
                TcpStream::connect_timeout(&to, PATIENCE).with_context(|| format!("no connection to {to}"))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(stream, "GET / HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream
                .read_to_string(&mut text)
                .with_context(|| format!("no answer from {to}"))?;
            let body = text.split_once("\r\n\r\n").context("not HTTP")?.1;
            serde_json::from_str(body).with_context(|| format!("not the test server: {body}"))
        })
    }

    /// Asks the test server over UDP, from a port of its own; gives the answer and the address that it came from.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn udp(&self, address: &str, port: u16) -> Result<(Answer, IpAddr)> {
        let to = SocketAddr::new(address.parse()?, port);
        self.within(|| {
            let any: IpAddr = if to.is_ipv4() {
                [0, 0, 0, 0].into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            // Not connected: an answer from any address is taken, so that a wrong one is seen.
            socket.send_to(b"hello", to)?;
            let mut buffer = [0; 2000];
            let (length, from) = socket
                .recv_from(&mut buffer)
                .with_context(|| format!("no answer from {to}"))?;
            Ok((serde_json::from_slice(&buffer[..length])?, from.ip()))
        })
    }

    /// Asks for an IPv4 address on `eth0` by broadcast, listens for a second, and gives the MACs of all who answer.
    ///
    /// # Errors
    /// When `arping` can't be run.
    pub fn who_has(&self, address: &str) -> Result<BTreeSet<String>> {
        // It stops early only after so many answers, and ends with an error when there is none.
        let output = self
            .tool("arping")
            .args(["-b", "-c", "9", "-w", "1", "-I", "eth0", address])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !text.contains("ARPING") {
            bail!("arping: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        let macs = text
            .lines()
            .filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_lowercase()));
        Ok(macs.collect())
    }

    /// The MAC of an address in the kernel's neighbour table; `None` when nobody has answered for it.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn neighbour(&self, address: &str) -> Result<Option<String>> {
        let entries: serde_json::Value =
            serde_json::from_str(&self.ip(&["-j", "neighbour", "show", "to", address])?)?;
        Ok(entries[0]["lladdr"].as_str().map(str::to_lowercase))
    }

    /// Makes the kernel forget its neighbours.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn forget_neighbours(&self) -> Result<()> {
        self.ip(&["neighbour", "flush", "dev", "eth0"])?;
        Ok(())
    }

    /// The MAC of an interface.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn mac(&self, interface: &str) -> Result<String> {
        let links: serde_json::Value = serde_json::from_str(&self.ip(&["-j", "link", "show", interface])?)?;
        links[0]["address"]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("{interface} has no MAC"))
    }
}
