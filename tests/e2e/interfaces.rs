//! How the speaker follows the interfaces of its node: real ones of the kernel, in a network
//! namespace of each test.

use std::time::Duration;

use lodestone_runtime::task::spawn;
use lodestone_speaker::net::netlink::{Links, follow};
use lodestone_speaker_core::{DEFAULT_PATTERNS, Interface, InterfacePattern};
use lodestone_tests::{Netns, run};
use tokio::{sync::watch, time::timeout};

/// Shorter than the period after which the speaker reads all interfaces without a notification.
const LIMIT: Duration = Duration::from_secs(40);

/// A network namespace with both ends of a cable, `eth0` and `far`. Dropping it deletes the
/// namespace.
struct InterfaceCable(Netns);

impl InterfaceCable {
    fn new(name: &str) -> Self {
        let cable = Self(Netns::new(format!("l{}-{name}", std::process::id())));
        cable.0.create().unwrap();
        cable.ip("link add eth0 type veth peer name far");
        cable.ip("link set eth0 up");
        cable.ip("link set far up");
        cable
    }

    fn ip(&self, args: &str) {
        self.0.ip(&args.split(' ').collect::<Vec<_>>()).unwrap();
    }

    /// Runs a test while a task follows the interfaces in this namespace.
    fn followed(&self, test: impl AsyncFnOnce(&mut Followed) + Send) {
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (sender, links) = watch::channel(Links::default());
                let exclude: Vec<InterfacePattern> =
                    DEFAULT_PATTERNS.iter().map(|text| text.parse().unwrap()).collect();
                let _following = spawn(follow(sender, exclude));
                test(&mut Followed(links)).await;
            });
            Ok(())
        };
        self.0.within(work).unwrap();
    }
}

impl Drop for InterfaceCable {
    fn drop(&mut self) {
        if let Err(error) = run("ip", &["netns", "delete", self.0.name()]) {
            eprintln!("{error:#}");
        }
    }
}

/// What the speaker knows of the interfaces.
struct Followed(watch::Receiver<Links>);

impl Followed {
    /// Waits until the interface `name` is known and in the expected state.
    async fn wait(&mut self, what: &str, name: &str, expected: impl Fn(&Interface) -> bool) {
        let seen = |links: &Links| {
            links
                .interfaces
                .iter()
                .any(|interface| interface.name == name && expected(interface))
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
fn changes_of_carrier_mac_and_addresses_are_followed() {
    let cable = InterfaceCable::new("follow");
    cable.followed(async |followed| {
        followed.wait("a carrier", "eth0", Interface::can_announce).await;
        cable.ip("address add 192.0.2.5/24 dev eth0");
        followed
            .wait("an address", "eth0", |eth0| has(eth0, "192.0.2.5/24"))
            .await;
        cable.ip("address del 192.0.2.5/24 dev eth0");
        followed
            .wait("no address", "eth0", |eth0| !has(eth0, "192.0.2.5/24"))
            .await;
        cable.ip("link set eth0 address 02:00:00:00:77:01");
        followed
            .wait("another MAC", "eth0", |eth0| mac(eth0) == "02:00:00:00:77:01")
            .await;
        cable.ip("link set far down");
        followed.wait("no carrier", "eth0", |eth0| !eth0.can_announce()).await;
        cable.ip("link set far up");
        followed.wait("a carrier again", "eth0", Interface::can_announce).await;
    });
}

#[test]
fn bridge_ports_noarp_and_excluded_interfaces_do_not_announce() {
    let cable = InterfaceCable::new("alone");
    cable.followed(async |followed| {
        followed
            .wait("an Ethernet interface", "eth0", Interface::can_announce)
            .await;
        cable.ip("link add br0 type bridge");
        cable.ip("link set br0 up");
        cable.ip("link set eth0 master br0");
        followed
            .wait("a port of a bridge", "eth0", |eth0| !eth0.can_announce())
            .await;
        // The bridge itself may announce.
        followed.wait("a bridge", "br0", Interface::can_announce).await;
        cable.ip("link set eth0 nomaster");
        followed
            .wait("an Ethernet interface again", "eth0", Interface::can_announce)
            .await;
        cable.ip("link set eth0 arp off");
        followed
            .wait("an interface without ARP", "eth0", |eth0| !eth0.can_announce())
            .await;
        cable.ip("link set eth0 arp on");
        followed
            .wait("an interface with ARP again", "eth0", Interface::can_announce)
            .await;
        cable.ip("link set far down");
        cable.ip("link set far name cali12");
        cable.ip("link set cali12 up");
        followed
            .wait("an interface of a container", "cali12", |eth| {
                eth.running && !eth.can_announce()
            })
            .await;
        followed
            .wait("the loopback interface", "lo", |lo| !lo.can_announce())
            .await;
    });
}

/// The number of messages that the kernel dropped for the netlink sockets of this namespace.
fn drops() -> u64 {
    let sockets = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
    let drops = sockets
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(8)); // The column `Drops`.
    drops.map(|drops| drops.parse::<u64>().unwrap()).sum()
}

#[test]
fn all_interfaces_are_read_again_after_netlink_messages_were_dropped() {
    let cable = InterfaceCable::new("overrun");
    cable.followed(async |followed| {
        followed.wait("a carrier", "eth0", Interface::can_announce).await;
        // Nothing reads the socket meanwhile: this thread is busy. The kernel queues 208 KiB of
        // these messages, which have some kilobytes each.
        let changes: Vec<String> = (0..2000)
            .map(|round| format!("link set dev eth0 mtu {}", 1000 + round % 2))
            .collect();
        cable.0.ip_batch(&changes).unwrap();
        cable.ip("link set eth0 address 02:00:00:00:77:02");
        assert!(drops() > 0, "the kernel has dropped nothing");
        followed
            .wait("another MAC", "eth0", |eth0| mac(eth0) == "02:00:00:00:77:02")
            .await;
        // Later changes are followed, too.
        cable.ip("link set far down");
        followed.wait("no carrier", "eth0", |eth0| !eth0.can_announce()).await;
    });
}
