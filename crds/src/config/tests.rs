use std::net::IpAddr;

use serde_json::json;

use super::*;
use crate::{Family, selector::Labels};

fn pool(name: &str, second: u32, spec: serde_json::Value) -> IPAddressPool {
    serde_json::from_value(json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "spec": spec,
        "metadata": {"name": name, "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")},
    }))
    .unwrap()
}

fn l2(name: &str, spec: serde_json::Value) -> L2Advertisement {
    serde_json::from_value(json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

fn build(pools: Vec<IPAddressPool>, l2_advertisements: Vec<L2Advertisement>) -> Config {
    Config::build(&Resources {
        pools,
        l2_advertisements,
        undecodable: vec![],
    })
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn p8_invalid_pool_is_refused_alone_and_names_the_field() {
    let config = build(
        vec![
            pool("good", 0, json!({"addresses": ["192.0.2.0/24"]})),
            pool(
                "reversed",
                1,
                json!({"addresses": ["198.51.100.0/25", "198.51.100.200-198.51.100.190"]}),
            ),
            pool("empty", 2, json!({"addresses": []})),
        ],
        vec![],
    );
    assert_eq!(config.pools.keys().collect::<Vec<_>>(), ["good"]);
    let refused: Vec<String> = config.refused.iter().map(ToString::to_string).collect();
    assert_eq!(
        refused,
        [
            "IPAddressPool empty: spec.addresses: a pool needs at least one CIDR or range",
            "IPAddressPool reversed: spec.addresses[1]: \"198.51.100.200-198.51.100.190\" ends before it starts",
        ]
    );
}

#[test]
fn older_of_two_overlapping_pools_stays_in_use() {
    let older = pool("z-older", 1, json!({"addresses": ["192.0.2.0/24"]}));
    let newer = pool("a-newer", 2, json!({"addresses": ["192.0.2.128-192.0.3.5"]}));
    for pools in [vec![older.clone(), newer.clone()], vec![newer, older]] {
        let config = build(pools, vec![]);
        assert_eq!(config.pools.keys().collect::<Vec<_>>(), ["z-older"]);
        assert_eq!(config.refused[0].reason, RefusalReason::Overlaps);
        let text = config.refused[0].text();
        assert!(
            text.contains("192.0.2.0/24 of the older IPAddressPool z-older"),
            "{text}"
        );
    }
}

#[test]
fn refused_pool_takes_no_addresses_from_others() {
    let config = build(
        vec![
            pool("broken", 0, json!({"addresses": ["192.0.2.0/24", "nonsense"]})),
            pool("later", 1, json!({"addresses": ["192.0.2.0/24"]})),
        ],
        vec![],
    );
    assert_eq!(config.pools.keys().collect::<Vec<_>>(), ["later"]);
}

#[test]
fn pool_that_overlaps_with_itself_is_refused() {
    let config = build(
        vec![pool("twice", 0, json!({"addresses": ["192.0.2.0/24", "192.0.2.7/32"]}))],
        vec![],
    );
    assert!(config.refused[0].text().contains("of the same pool"));
}

#[test]
fn ranges_of_different_families_do_not_overlap() {
    let config = build(
        vec![pool("dual", 0, json!({"addresses": ["0.0.0.0/0", "::/0"]}))],
        vec![],
    );
    assert!(config.refused.is_empty());
    assert!(config.pools["dual"].has_family(Family::V4) && config.pools["dual"].has_family(Family::V6));
}

#[test]
fn p8_invalid_selector_or_weight_refuses_only_its_advertisement() {
    let like = json!({"matchExpressions": [{"key": "a", "operator": "Like"}]});
    let config = build(
        vec![],
        vec![
            l2("fine", json!({})),
            l2("selector", json!({"nodeSelectors": [{}, like]})),
            l2(
                "weight",
                json!({"preferredNodeSelectors": [{"weight": 101, "preference": {}}]}),
            ),
        ],
    );
    assert_eq!(config.l2_advertisements.keys().collect::<Vec<_>>(), ["fine"]);
    assert_eq!(config.refused[0].field, "spec.nodeSelectors[1]");
    assert_eq!(config.refused[1].field, "spec.preferredNodeSelectors[0].weight");
}

#[test]
fn advertisement_without_specification_covers_everything() {
    let bare = serde_json::from_value(json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": {"name": "bare"},
    }));
    let config = build(
        vec![pool("p", 0, json!({"addresses": ["192.0.2.0/24"]}))],
        vec![bare.unwrap()],
    );
    let bare = &config.l2_advertisements["bare"];
    assert!(bare.covers_pool(&config.pools["p"]) && bare.covers_node(&Labels::new()) && bare.interfaces.is_empty());
}

#[test]
fn advertisement_covers_pools_by_name_by_label_or_all() {
    let mut red = pool("red", 0, json!({"addresses": ["192.0.2.0/24"]}));
    red.metadata.labels = Some(labels(&[("colour", "red")]));
    let config = build(
        vec![red, pool("plain", 1, json!({"addresses": ["198.51.100.0/24"]}))],
        vec![
            l2("all", json!({})),
            l2(
                "by-label",
                json!({"ipAddressPoolSelectors": [{"matchLabels": {"colour": "red"}}]}),
            ),
            l2("by-name", json!({"ipAddressPools": ["plain", "gone"]})),
        ],
    );
    let covers =
        |advertisement: &str, pool: &str| config.l2_advertisements[advertisement].covers_pool(&config.pools[pool]);
    assert_eq!([covers("all", "red"), covers("all", "plain")], [true, true]);
    assert_eq!([covers("by-label", "red"), covers("by-label", "plain")], [true, false]);
    assert_eq!([covers("by-name", "red"), covers("by-name", "plain")], [false, true]);
    assert!(config.l2_advertisements["by-name"].names_pool("gone"));
}

#[test]
fn weights_of_matching_preferences_add_up() {
    let ssd = json!({"weight": 60, "preference": {"matchLabels": {"disk": "ssd"}}});
    let all = json!({"weight": 50, "preference": {}});
    let config = build(vec![], vec![l2("a", json!({"preferredNodeSelectors": [ssd, all]}))]);
    let advertisement = &config.l2_advertisements["a"];
    assert_eq!(advertisement.weight(&labels(&[("disk", "ssd")])), 110);
    assert_eq!(advertisement.weight(&Labels::new()), 50);
}

#[test]
fn namespace_selector_without_a_match_closes_the_pool() {
    let allocation = json!({"namespaceSelectors": [{"matchLabels": {"team": "a"}}]});
    let config = build(
        vec![pool(
            "p",
            0,
            json!({"addresses": ["192.0.2.0/24"], "serviceAllocation": allocation}),
        )],
        vec![],
    );
    let pool = &config.pools["p"];
    assert!(!pool.serves("x", &Labels::new(), &Labels::new()));
    assert!(pool.serves("x", &labels(&[("team", "a")]), &Labels::new()));
}

#[test]
fn namespace_and_service_labels_must_both_match() {
    let allocation = json!({"namespaces": ["x"], "serviceSelectors": [{"matchLabels": {"tier": "web"}}]});
    let config = build(
        vec![pool(
            "p",
            0,
            json!({"addresses": ["192.0.2.0/24"], "serviceAllocation": allocation}),
        )],
        vec![],
    );
    let pool = &config.pools["p"];
    let web = labels(&[("tier", "web")]);
    assert!(pool.serves("x", &Labels::new(), &web));
    assert!(!pool.serves("x", &Labels::new(), &Labels::new()));
    assert!(!pool.serves("y", &Labels::new(), &web));
}

#[test]
fn pools_rank_by_priority_with_zero_last_then_by_name() {
    let spec = |third: u8, allocation: Option<i64>| {
        let mut spec = json!({"addresses": [format!("192.0.{third}.0/24")]});
        if let Some(priority) = allocation {
            spec["serviceAllocation"] = json!({"priority": priority});
        }
        spec
    };
    let config = build(
        vec![
            pool("common-b", 0, spec(0, None)),
            pool("common-a", 0, spec(1, None)),
            pool("zero", 0, spec(2, Some(0))),
            pool("twenty", 0, spec(3, Some(20))),
            pool("ten", 0, spec(4, Some(10))),
            pool("minus", 0, spec(5, Some(-1))),
        ],
        vec![],
    );
    let mut order: Vec<&Pool> = config.pools.values().collect();
    order.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let names: Vec<&str> = order.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["minus", "ten", "twenty", "zero", "common-a", "common-b"]);
}

#[test]
fn capacity_counts_assignable_addresses() {
    let capacity = |addresses: &[&str], avoid: bool, family| {
        let spec = json!({"addresses": addresses, "avoidBuggyIPs": avoid});
        build(vec![pool("p", 0, spec)], vec![]).pools["p"].capacity(family)
    };
    assert_eq!(capacity(&["192.0.2.0/24"], false, Family::V4), 256);
    assert_eq!(capacity(&["192.0.2.0/24", "198.51.100.0/25"], false, Family::V4), 384);
    assert_eq!(capacity(&["192.0.2.0/24", "198.51.100.0/25"], true, Family::V4), 381);
    assert_eq!(capacity(&["192.0.2.0/31", "2001:db8::/127"], true, Family::V4), 1);
    assert_eq!(capacity(&["192.0.2.0/31", "2001:db8::/127"], true, Family::V6), 2);
    assert_eq!(capacity(&["192.0.2.250-192.0.3.5"], true, Family::V4), 10);
    assert_eq!(capacity(&["10.0.0.0/8"], false, Family::V4), 1 << 24);
    assert_eq!(capacity(&["::/1", "8000::/1"], false, Family::V6), u128::MAX);
}

#[test]
fn pool_excludes_buggy_addresses() {
    let spec = json!({"addresses": ["192.0.2.0/24", "2001:db8::/120"], "avoidBuggyIPs": true});
    let config = build(vec![pool("p", 0, spec)], vec![]);
    let contains = |text: &str| config.pools["p"].contains(text.parse::<IpAddr>().unwrap());
    assert!(!contains("192.0.2.0") && !contains("192.0.2.255") && contains("192.0.2.254"));
    assert!(contains("2001:db8::") && contains("2001:db8::ff"));
    assert!(config.pool_of("192.0.2.255".parse().unwrap()).is_none());
}
