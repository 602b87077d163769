//! Gratuitous announcements, and the groups that make an address reachable.

use super::*;

#[test]
fn only_an_address_with_changed_ports_is_announced_in_a_new_burst() {
    let mut parts = owning(&[ADDRESS, "192.0.2.2"]);
    own(&mut parts, &[ADDRESS, "192.0.2.2"], &[]);
    assert_eq!(announced_now(&mut parts), [] as [IpAddr; 0]);
    let mut wanted = parts.lan.owned().clone();
    wanted.get_mut(&ip(ADDRESS)).unwrap().owned.services.clear();
    wanted.get_mut(&ip("192.0.2.2")).unwrap().ports[0].mac = MacAddr(2, 0, 0, 0, 0, 8);
    parts.lan.set_owned(turn!(parts, parts.now), wanted, []);
    assert_eq!(announced_now(&mut parts), [ip("192.0.2.2"); 2]);
    let turn = turn!(parts, parts.now);
    parts.lan.restart_announcements(turn, ip(ADDRESS));
    assert_eq!(announced_now(&mut parts), [ip(ADDRESS); 2]);
    assert_eq!(parts.sinks.stats.traffic[&ip(ADDRESS)].gratuitous, 4);
}

#[test]
fn withdrawn_address_is_announced_no_more() {
    let mut parts = owning(&[ADDRESS, "192.0.2.2"]);
    let wanted = BTreeMap::from([(ip("192.0.2.2"), parts.announcement("192.0.2.2"))]);
    let lost = parts.lan.withdraw_except(turn!(parts, parts.now), &wanted);
    assert_eq!(lost, [ip(ADDRESS)]);
    parts.lan.set_owned(turn!(parts, parts.now), wanted, []);
    parts.pass(100);
    assert_eq!(announced_now(&mut parts), [ip("192.0.2.2"); 2]);
    assert!(!is_answered(&mut parts, &arp_request(ADDRESS)));
    parts.lan.withdraw_except(turn!(parts, parts.now), &BTreeMap::new());
    parts.lan.arm(turn!(parts, parts.now));
    assert_eq!(parts.sinks.timers.next(), None, "nothing is scheduled");
}

#[test]
fn groups_are_joined_once_and_before_the_first_announcement() {
    let mut parts = Parts::new(&["a", "b"], &[ADDRESS_V6]);
    let group = ndp::solicited_node(ADDRESS_V6.parse().unwrap());
    let joined = Output::Groups([(ETH0, group)].into());
    own(&mut parts, &[ADDRESS_V6], &[]);
    parts.lan.send_due_announcements(turn!(parts, parts.now));
    assert_eq!(parts.sinks.outbox.pop().as_ref(), Some(&joined));
    assert!(matches!(parts.sinks.outbox.pop(), Some(Output::Frame { .. })));
    own(&mut parts, &[ADDRESS_V6], &[]);
    assert_eq!(parts.drain().others, []);
    // A new interface has joined nothing.
    parts.lan.set_own_macs(parts.node.macs(), |_| true);
    own(&mut parts, &[ADDRESS_V6], &[]);
    assert_eq!(parts.drain().others, [joined]);
    own(&mut parts, &[], &[]);
    assert_eq!(parts.drain().others, [Output::Groups(BTreeSet::new())]);
}

#[test]
fn announced_addresses_are_reported_only_when_they_change() {
    let mut parts = owning(&[ADDRESS]);
    for (addresses, is_news) in [(vec![ADDRESS], true), (vec![ADDRESS], false), (vec![], true)] {
        own(&mut parts, &addresses, &[]);
        parts.lan.report_announced(turn!(parts, parts.now));
        let owned = addresses.iter().map(|address| parts.announcement(address).owned);
        let report = Output::OwnedAddresses(owned.collect());
        assert_eq!(parts.drain().others, Vec::from_iter(is_news.then_some(report)));
    }
}

#[test]
fn address_is_announced_on_each_of_its_ports() {
    let mut parts = owning(&[ADDRESS]);
    let mut wanted = parts.lan.owned().clone();
    let second = ethernet(2, "eth1", &[]).port().unwrap();
    wanted.get_mut(&ip(ADDRESS)).unwrap().ports.push(second);
    parts.lan.set_owned(turn!(parts, parts.now), wanted, []);
    parts.lan.send_due_announcements(turn!(parts, parts.now));
    let macs: BTreeSet<MacAddr> = parts
        .drain()
        .frames
        .iter()
        .map(|frame| ArpPacket::parse(frame).unwrap().sender_mac)
        .collect();
    assert_eq!(macs, [parts.port().mac, second.mac].into());
}
