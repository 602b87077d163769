//! What the speaker sees of the interfaces of its node: the kernel's own, in a network namespace of each test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is tests only"
)]

use std::time::Duration;

use lodestone_runtime::task::spawn;
use lodestone_speaker::{
    core::{
        Interface,
        exclude::{DEFAULT, Pattern},
    },
    net::links::{Links, follow},
};
use lodestone_tests::{Netns, run};
use tokio::{sync::watch, time::timeout};

/// Generous: a limit says that something is broken, not that it is slow. It is shorter than the pause after which all is read without a change.
const LIMIT: Duration = Duration::from_secs(40);

/// A namespace with two ends of a cable, `eth0` and `far`; it goes when this is dropped.
struct Wired(Netns);

impl Wired {
    fn new(name: &str) -> Self {
        let wired = Self(Netns::new(format!("l{}-{name}", std::process::id())));
        wired.0.create().unwrap();
        wired.ip("link add eth0 type veth peer name far");
        wired.ip("link set eth0 up");
        wired.ip("link set far up");
        wired
    }

    fn ip(&self, args: &str) {
        self.0.ip(&args.split(' ').collect::<Vec<_>>()).unwrap();
    }

    /// Runs a test beside a watch of the interfaces in this namespace.
    fn watched(&self, test: impl AsyncFnOnce(&mut Seen) + Send) {
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (sender, links) = watch::channel(Links::default());
                let exclude: Vec<Pattern> = DEFAULT.iter().map(|text| text.parse().unwrap()).collect();
                let _following = spawn(follow(sender, exclude));
                test(&mut Seen(links)).await;
            });
            Ok(())
        };
        self.0.within(work).unwrap();
    }
}

impl Drop for Wired {
    fn drop(&mut self) {
        if let Err(error) = run("ip", &["netns", "delete", self.0.name()]) {
            eprintln!("{error:#}");
        }
    }
}

struct Seen(watch::Receiver<Links>);

impl Seen {
    /// Waits until an interface is seen that is as it should be.
    async fn wait(&mut self, what: &str, name: &str, is: impl Fn(&Interface) -> bool) {
        let seen = |links: &Links| {
            links
                .interfaces
                .iter()
                .any(|interface| interface.name == name && is(interface))
        };
        let waited = timeout(LIMIT, self.0.wait_for(seen)).await;
        assert!(
            waited.is_ok_and(|seen| seen.is_ok()),
            "{what}: {:?}",
            self.0.borrow().interfaces
        );
    }
}

fn mac(interface: &Interface) -> String {
    interface.mac.unwrap_or_default().to_string()
}

fn has(interface: &Interface, address: &str) -> bool {
    interface.addresses.iter().any(|one| one.to_string() == address)
}

#[test]
fn carrier_mac_and_addresses_of_an_interface_are_followed() {
    let wired = Wired::new("follow");
    wired.watched(async |seen| {
        seen.wait("a carrier", "eth0", Interface::can_announce).await;
        wired.ip("address add 192.0.2.5/24 dev eth0");
        seen.wait("an address", "eth0", |eth0| has(eth0, "192.0.2.5/24")).await;
        wired.ip("address del 192.0.2.5/24 dev eth0");
        seen.wait("no address", "eth0", |eth0| !has(eth0, "192.0.2.5/24")).await;
        wired.ip("link set eth0 address 02:00:00:00:77:01");
        seen.wait("another MAC", "eth0", |eth0| mac(eth0) == "02:00:00:00:77:01")
            .await;
        wired.ip("link set far down");
        seen.wait("no carrier", "eth0", |eth0| !eth0.can_announce()).await;
        wired.ip("link set far up");
        seen.wait("a carrier again", "eth0", Interface::can_announce).await;
    });
}

#[test]
fn ports_of_a_bridge_interfaces_without_arp_and_excluded_names_are_left_alone() {
    let wired = Wired::new("alone");
    wired.watched(async |seen| {
        seen.wait("an Ethernet", "eth0", Interface::can_announce).await;
        wired.ip("link add br0 type bridge");
        wired.ip("link set br0 up");
        wired.ip("link set eth0 master br0");
        seen.wait("a port of a bridge", "eth0", |eth0| !eth0.can_announce())
            .await;
        // The bridge itself is the one that announces.
        seen.wait("a bridge", "br0", Interface::can_announce).await;
        wired.ip("link set eth0 nomaster");
        seen.wait("an Ethernet again", "eth0", Interface::can_announce).await;
        wired.ip("link set eth0 arp off");
        seen.wait("one without ARP", "eth0", |eth0| !eth0.can_announce()).await;
        wired.ip("link set eth0 arp on");
        seen.wait("one with ARP", "eth0", Interface::can_announce).await;
        wired.ip("link set far down");
        wired.ip("link set far name cali12");
        wired.ip("link set cali12 up");
        seen.wait("one of a container", "cali12", |one| one.running && !one.can_announce())
            .await;
        seen.wait("the loopback interface", "lo", |lo| !lo.can_announce()).await;
    });
}

/// How many messages the kernel could not keep for the netlink sockets of this namespace (the column Drops).
fn drops() -> u64 {
    let sockets = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
    let drops = sockets
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(8));
    drops.map(|drops| drops.parse::<u64>().unwrap()).sum()
}

#[test]
fn what_has_changed_while_more_messages_came_than_the_kernel_keeps_is_read_anew() {
    let wired = Wired::new("overrun");
    wired.watched(async |seen| {
        seen.wait("a carrier", "eth0", Interface::can_announce).await;
        // Nobody reads while this thread does that: of these messages, some kilobytes each, the kernel keeps 208 KiB.
        let changes: Vec<String> = (0..2000)
            .map(|round| format!("link set dev eth0 mtu {}", 1000 + round % 2))
            .collect();
        wired.0.ip_batch(&changes).unwrap();
        wired.ip("link set eth0 address 02:00:00:00:77:02");
        assert!(drops() > 0, "the kernel has kept all");
        seen.wait("another MAC", "eth0", |eth0| mac(eth0) == "02:00:00:00:77:02")
            .await;
        // What comes afterwards is heard of, too.
        wired.ip("link set far down");
        seen.wait("no carrier", "eth0", |eth0| !eth0.can_announce()).await;
    });
}
