//! The view of a host on the LAN: answers to its requests, and its kernel's neighbour table.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::netns::Netns;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The answer of the test server, with the keys `pod`, `node`, `client`, `protocol` and `asked`.
pub type ServerAnswer = BTreeMap<String, String>;

impl Netns {
    /// Fetches `http://ADDRESS:PORT/` from the test server, over a new connection.
    ///
    /// # Errors
    /// When no answer arrives within two seconds, or the answer is not the test server's.
    pub fn http(&self, address: &str, port: u16) -> Result<ServerAnswer> {
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
            let body = text.split_once("\r\n\r\n").context("the answer is not HTTP")?.1;
            serde_json::from_str(body).with_context(|| format!("the answer is not the test server's: {body}"))
        })
    }

    /// Sends a request to the test server over UDP, from a new port. Returns the answer and the
    /// source address of the answer.
    ///
    /// # Errors
    /// When no answer arrives within two seconds, or the answer is not the test server's.
    pub fn udp(&self, address: &str, port: u16) -> Result<(ServerAnswer, IpAddr)> {
        let to = SocketAddr::new(address.parse()?, port);
        self.within(|| {
            let any: IpAddr = if to.is_ipv4() {
                [0, 0, 0, 0].into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            // The socket is not connected, so it also receives an answer from a wrong address.
            socket.send_to(b"hello", to)?;
            let mut buffer = [0; 2000];
            let (length, from) = socket
                .recv_from(&mut buffer)
                .with_context(|| format!("no answer from {to}"))?;
            Ok((serde_json::from_slice(&buffer[..length])?, from.ip()))
        })
    }

    /// Broadcasts ARP requests for an IPv4 address on `eth0` for one second.
    /// Returns the MACs of all replies.
    ///
    /// # Errors
    /// When `arping` can't run.
    pub fn who_has(&self, address: &str) -> Result<BTreeSet<String>> {
        // arping stops early only after nine replies. It fails when there is no reply, so its exit
        // code says nothing here.
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

    /// The MAC of an address in the kernel's neighbour table, if the table has one.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn neighbour(&self, address: &str) -> Result<Option<String>> {
        let entries: serde_json::Value =
            serde_json::from_str(&self.ip(&["-j", "neighbour", "show", "to", address])?)?;
        Ok(entries[0]["lladdr"].as_str().map(str::to_lowercase))
    }

    /// Flushes the kernel's neighbour table of `eth0`.
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
    /// When the interface does not exist or has no MAC.
    pub fn mac(&self, interface: &str) -> Result<String> {
        let links: serde_json::Value = serde_json::from_str(&self.ip(&["-j", "link", "show", interface])?)?;
        links[0]["address"]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("{interface} has no MAC"))
    }
}
