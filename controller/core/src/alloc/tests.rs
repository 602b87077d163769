use proptest::prelude::*;
use serde_json::json;

use super::*;
use lodestone_crds::{Config, IPAddressPool, Resources};

fn pool(addresses: &[&str], avoid_buggy_ips: bool) -> Pool {
    let raw: IPAddressPool = serde_json::from_value(json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "p"},
        "spec": {"addresses": addresses, "avoidBuggyIPs": avoid_buggy_ips},
    }))
    .unwrap();
    let mut config = Config::build(&Resources {
        pools: vec![raw],
        ..Resources::default()
    });
    config.pools.remove("p").unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("n", name)
}

fn port(number: i32) -> Port {
    Port {
        protocol: Protocol("TCP".to_owned()),
        number,
    }
}

fn alone() -> AddressHolder {
    AddressHolder {
        sharing_key: None,
        backend: Backend::AnyNode,
        ports: vec![port(80)],
        since: None,
    }
}

fn sharing(sharing: &str, number: i32) -> AddressHolder {
    AddressHolder {
        sharing_key: Some(sharing.to_owned()),
        ports: vec![port(number)],
        ..alone()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn address_has_one_holder_and_a_refused_change_does_nothing() {
    let mut allocator = Allocator::default();
    allocator.take(&key("a"), &alone(), &[ip("192.0.2.1")]).unwrap();
    allocator.take(&key("b"), &alone(), &[ip("192.0.2.2")]).unwrap();
    let refused = allocator.take(&key("b"), &alone(), &[ip("192.0.2.1")]).unwrap_err();
    assert_eq!(refused.to_string(), "192.0.2.1 is in use by Service n/a");
    assert_eq!(allocator.held(&key("b")), [ip("192.0.2.2")]);
    allocator.take(&key("a"), &alone(), &[ip("192.0.2.3")]).unwrap();
    // No Service gets the address that a releases before the status of a is written.
    assert!(allocator.take(&key("b"), &alone(), &[ip("192.0.2.1")]).is_err());
    assert_eq!(allocator.finish_release(&key("a")), [ip("192.0.2.1")]);
    allocator.take(&key("b"), &alone(), &[ip("192.0.2.1")]).unwrap();
}

#[test]
fn sharing_needs_the_same_key_the_same_backend_and_different_ports() {
    let local = |namespace: &str, number| AddressHolder {
        backend: Backend::NodesOf {
            namespace: namespace.to_owned(),
            selector: BTreeMap::from([("app".into(), "a".into())]),
        },
        ..sharing("k", number)
    };
    for (first, second, wanted) in [
        (sharing("k", 80), sharing("k", 443), "ok"),
        (sharing("k", 80), sharing("k", 80), "port TCP/80"),
        (sharing("k", 80), sharing("l", 443), "another value of the annotation"),
        (sharing("k", 80), alone(), "in use by"),
        (alone(), sharing("k", 443), "in use by"),
        (sharing("k", 80), local("n", 443), "externalTrafficPolicy"),
        (local("n", 80), local("n", 443), "ok"),
        (local("n", 80), local("m", 443), "externalTrafficPolicy"),
    ] {
        let mut allocator = Allocator::default();
        allocator.take(&key("a"), &first, &[ip("192.0.2.1")]).unwrap();
        let answer = allocator
            .take(&key("b"), &second, &[ip("192.0.2.1")])
            .map_or_else(|conflict| conflict.to_string(), |_| "ok".into());
        assert!(answer.contains(wanted), "{answer}");
    }
}

#[test]
fn shared_address_is_in_use_until_its_last_holder_is_released() {
    let mut allocator = Allocator::default();
    let address = [ip("192.0.2.1")];
    allocator.take(&key("a"), &sharing("k", 80), &address).unwrap();
    allocator.take(&key("a"), &sharing("l", 80), &address).unwrap();
    allocator.take(&key("b"), &sharing("l", 81), &address).unwrap();
    assert!(allocator.check(&sharing("k", 80), &key("a"), address[0]).is_err());
    assert_eq!(allocator.in_use_of(&pool(&["192.0.2.0/24"], false), Family::V4), 1);
    allocator.release_all(&key("a"));
    assert!(allocator.check(&alone(), &key("c"), ip("192.0.2.1")).is_err());
    allocator.release_all(&key("b"));
    assert!(allocator.check(&alone(), &key("c"), ip("192.0.2.1")).is_ok());
}

#[test]
fn lowest_free_address_comes_first_range_by_range() {
    let mut allocator = Allocator::default();
    let pool = pool(&["192.0.2.8/31", "192.0.2.0/31"], false);
    let mut given = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let address = allocator.first_fit(&pool, Family::V4, &key(name), &alone()).unwrap();
        allocator.take(&key(name), &alone(), &[address]).unwrap();
        given.push(address);
    }
    assert_eq!(
        given,
        [ip("192.0.2.8"), ip("192.0.2.9"), ip("192.0.2.0"), ip("192.0.2.1")]
    );
    assert_eq!(allocator.first_fit(&pool, Family::V4, &key("e"), &alone()), None);
    allocator.release_all(&key("b"));
    assert_eq!(
        allocator.first_fit(&pool, Family::V4, &key("e"), &alone()),
        Some(ip("192.0.2.9"))
    );
}

#[test]
fn first_fit_takes_the_lowest_address_whether_free_or_shared() {
    let mut allocator = Allocator::default();
    let pool = pool(&["192.0.2.0/30"], false);
    allocator
        .take(&key("a"), &sharing("k", 80), &[ip("192.0.2.1")])
        .unwrap();
    assert_eq!(
        allocator.first_fit(&pool, Family::V4, &key("b"), &sharing("k", 81)),
        Some(ip("192.0.2.0"))
    );
    allocator.take(&key("c"), &alone(), &[ip("192.0.2.0")]).unwrap();
    assert_eq!(
        allocator.first_fit(&pool, Family::V4, &key("b"), &sharing("k", 81)),
        Some(ip("192.0.2.1"))
    );
    assert_eq!(
        allocator.first_fit(&pool, Family::V4, &key("b"), &sharing("k", 80)),
        Some(ip("192.0.2.2"))
    );
}

#[test]
fn first_fit_does_not_walk_through_huge_pools() {
    let mut allocator = Allocator::default();
    let pool = pool(&["10.0.0.0/8", "2001:db8::/32"], true);
    for number in 0..2000 {
        for family in [Family::V4, Family::V6] {
            let key = key(&format!("{family}-{number}"));
            let address = allocator.first_fit(&pool, family, &key, &alone()).unwrap();
            allocator.take(&key, &alone(), &[address]).unwrap();
        }
    }
    assert_eq!(allocator.in_use_of(&pool, Family::V4), 2000);
    // 2000 addresses are in use, and two of each 256 are left out.
    assert_eq!(
        allocator.first_fit(&pool, Family::V4, &key("x"), &alone()),
        Some(ip("10.0.7.223"))
    );
    assert_eq!(
        allocator.first_fit(&pool, Family::V6, &key("x"), &alone()),
        Some(ip("2001:db8::7d0"))
    );
}

/// The specification of the allocator, without any index: a list of Services and addresses.
#[derive(Default)]
struct Model(Vec<(ObjectKey, AddressHolder, IpAddr)>);

impl Model {
    fn allows(&self, key: &ObjectKey, holder: &AddressHolder, address: IpAddr) -> bool {
        self.0
            .iter()
            .filter(|(holder, _, held)| holder != key && *held == address)
            .all(|(_, other, _)| {
                holder.sharing_key.is_some()
                    && holder.sharing_key == other.sharing_key
                    && holder.backend == other.backend
                    && !holder.ports.iter().any(|port| other.ports.contains(port))
            })
    }

    fn take(&mut self, key: &ObjectKey, holder: &AddressHolder, address: IpAddr) -> bool {
        let allowed = self.allows(key, holder, address);
        if allowed {
            // The model releases addresses at once.
            self.0.retain(|(holder, ..)| holder != key);
            self.0.push((key.clone(), holder.clone(), address));
        }
        allowed
    }

    fn first_fit(&self, pool: &Pool, key: &ObjectKey, holder: &AddressHolder) -> Option<IpAddr> {
        let candidates = pool.ranges.iter().flat_map(|range| {
            let (first, last) = range.bits();
            (first..=last).map(|bits| range.family().address(bits))
        });
        let fits = |address: &IpAddr| {
            let free = !self.0.iter().any(|(_, _, held)| held == address);
            pool.contains(*address) && (free || (holder.sharing_key.is_some() && self.allows(key, holder, *address)))
        };
        candidates.into_iter().find(fits)
    }
}

fn holders() -> impl Strategy<Value = AddressHolder> {
    (proptest::option::of(0..2u8), 0..3i32, proptest::bool::ANY).prop_map(|(sharing, number, local)| AddressHolder {
        sharing_key: sharing.map(|key| key.to_string()),
        ports: vec![port(number)],
        since: None,
        backend: if local {
            Backend::NodesOf {
                namespace: "n".to_owned(),
                selector: BTreeMap::new(),
            }
        } else {
            Backend::AnyNode
        },
    })
}

proptest! {
    #[test]
    fn allocator_agrees_with_the_naive_model(
        steps in proptest::collection::vec((0..6u8, 0..3u8, 0..10u128, holders()), 1..60)
    ) {
        let pool = pool(&["192.0.2.252-192.0.3.2", "192.0.2.2/31"], true);
        let (mut allocator, mut model) = (Allocator::default(), Model::default());
        for (who, what, which, holder) in steps {
            let key = key(&who.to_string());
            match what {
                0 => {
                    let address = Family::V4.address(Family::bits(ip("192.0.2.250")) + which);
                    // The allocator lets a Service keep its address on any terms; the model checks
                    // them.
                    if allocator.held(&key) != [address] {
                        prop_assert_eq!(allocator.take(&key, &holder, &[address]).is_ok(), model.take(&key, &holder, address));
                        allocator.finish_release(&key);
                    }
                }
                1 => {
                    let held = allocator.release_all(&key);
                    prop_assert_eq!(held.len(), model.0.iter().filter(|(holder, ..)| *holder == key).count());
                    model.0.retain(|(holder, ..)| *holder != key);
                }
                _ => {
                    let found = allocator.first_fit(&pool, Family::V4, &key, &holder);
                    let expected = model.first_fit(&pool, &key, &holder);
                    // A Service's own address counts as in use, unless the Service may share it.
                    if allocator.held(&key).is_empty() {
                        prop_assert_eq!(found, expected);
                    }
                    if let Some(address) = found {
                        prop_assert!(allocator.take(&key, &holder, &[address]).is_ok());
                        allocator.finish_release(&key);
                        model.take(&key, &holder, address);
                    }
                }
            }
            let mut held: Vec<_> = model.0.iter().map(|(_, _, address)| *address).collect();
            held.sort();
            held.dedup();
            let in_use: Vec<_> = allocator.in_use().map(|(address, _)| address).collect();
            prop_assert_eq!(in_use, held);
        }
    }
}

#[test]
fn index_follows_a_service_that_changes_how_it_holds_an_address() {
    let mut allocator = Allocator::default();
    let address = [ip("192.0.2.1")];
    allocator.take(&key("a"), &sharing("k", 80), &address).unwrap();
    allocator.take(&key("b"), &sharing("k", 81), &address).unwrap();
    allocator.hold(&key("b"), &alone(), &address);
    let pool = pool(&["192.0.2.1/32"], false);
    // One of the two no longer shares, so no Service can join them.
    assert_eq!(
        allocator.first_fit(&pool, Family::V4, &key("c"), &sharing("k", 82)),
        None
    );
    allocator.release_all(&key("b"));
    assert_eq!(
        allocator.first_fit(&pool, Family::V4, &key("c"), &sharing("k", 82)),
        Some(address[0])
    );
    allocator.release_all(&key("a"));
    assert!(allocator.shared.is_empty() && allocator.holders.is_empty());
}

#[test]
fn of_two_services_with_one_address_only_the_younger_conflicts() {
    let at = |second: i64| AddressHolder {
        since: Some(jiff::Timestamp::from_second(second).unwrap()),
        ..alone()
    };
    let mut allocator = Allocator::default();
    allocator.hold(&key("b-older"), &at(1), &[ip("192.0.2.1")]);
    allocator.hold(&key("a-younger"), &at(2), &[ip("192.0.2.1")]);
    assert!(allocator.check_older(&at(1), &key("b-older"), ip("192.0.2.1")).is_ok());
    assert!(
        allocator
            .check_older(&at(2), &key("a-younger"), ip("192.0.2.1"))
            .is_err()
    );
}
