//! Other nodes that answer for an address of this one.

use super::*;

#[test]
fn node_is_a_rival_once_it_has_answered_for_five_seconds() {
    let mut parts = cluster();
    parts.claim("a", ADDRESS, 3);
    for (wait, node, standing) in [
        (0, "b", RivalStanding::New),
        (4_999, "b", RivalStanding::Unconfirmed),
        (1, "b", RivalStanding::Confirmed),
        (29_999, "b", RivalStanding::Confirmed),
        (30_000, "b", RivalStanding::New),
        (5_000, "c", RivalStanding::New),
    ] {
        parts.pass(wait);
        let actual = parts.ownership.note_rival(parts.now, ip(ADDRESS), &node.into());
        assert_eq!(actual, standing, "{node} {wait}");
        let contested = parts.ownership.contested(parts.now, &"a".into());
        assert_eq!(contested, [ip(ADDRESS)]);
    }
    parts.pass(30_000);
    let contested = parts.ownership.contested(parts.now, &"a".into());
    assert_eq!(contested, [] as [IpAddr; 0]);
}

#[test]
fn conceded_address_belongs_to_the_rival_and_all_nodes_learn_it() {
    let mut parts = cluster();
    parts.claim("a", ADDRESS, 3);
    parts.ownership.note_rival(parts.now, ip(ADDRESS), &"b".into());
    let turn = turn!(parts, parts.now);
    parts.ownership.concede(turn, ip(ADDRESS), &"b".into());
    let record = parts.ownership.claims.get(ip(ADDRESS)).unwrap();
    assert!(record.relayed && !record.is_proven());
    let conceded = Claim {
        tentative: true,
        ..claim(ADDRESS, 4)
    };
    let message = Message::RelayedClaims(vec![("b".into(), conceded)]);
    assert_eq!(parts.drain().receivers_of(&message), ["b", "c"]);
    assert_eq!(parts.ownership.contested(parts.now, &"b".into()), [] as [IpAddr; 0]);
}
