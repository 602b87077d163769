use serde_json::json;

use super::*;

fn service(addresses: &[&str]) -> AddressedService {
    let ingress: Vec<_> = addresses.iter().map(|address| json!({"ip": address})).collect();
    let service = json!({
        "metadata": {"name": "a", "namespace": "n"}, "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": ingress}},
    });
    AddressedService::new(&serde_json::from_value(service).unwrap(), "").unwrap()
}

#[test]
fn address_is_served_by_endpoints_of_its_family() {
    let mut cache = ClusterCache::default();
    let key = ObjectKey::new("n", "a");
    cache.services.insert(key, service(&["192.0.2.1", "2001:db8::1"]));
    for (family, node) in [("IPv4", "w1"), ("IPv6", "w2"), ("FQDN", "w3")] {
        let slice = json!({
            "metadata": {"name": family, "namespace": "n", "labels": {"kubernetes.io/service-name": "a"}},
            "addressType": family, "endpoints": [{"addresses": ["some"], "nodeName": node}],
        });
        let slice = SliceView::new(&serde_json::from_value(slice).unwrap()).unwrap();
        cache.slices.insert(ObjectKey::new("n", family), slice);
    }
    let snapshot = cache.snapshot(&ClusterSnapshot::default());
    let nodes = |address: &str| {
        let nodes = &snapshot.addresses[&address.parse::<IpAddr>().unwrap()][0]
            .endpoints
            .nodes;
        nodes.iter().map(|node| node.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(nodes("192.0.2.1"), ["w1", "w3"]);
    assert_eq!(nodes("2001:db8::1"), ["w2", "w3"]);
}

#[test]
fn cache_is_synced_after_the_first_list_of_every_watch() {
    let mut cache = ClusterCache::default();
    for change in [
        ClusterChange::Service(ResourceChange::Synced),
        ClusterChange::EndpointSlice(ResourceChange::Synced),
        ClusterChange::Node(ResourceChange::Synced),
        ClusterChange::Pool(ResourceChange::Synced),
        ClusterChange::Pool(ResourceChange::Synced),
    ] {
        cache.apply(change);
        assert!(!cache.is_synced());
    }
    cache.apply(ClusterChange::L2Advertisement(ResourceChange::Synced));
    assert!(cache.is_synced());
}

#[test]
fn snapshots_share_unchanged_addresses() {
    let mut cache = ClusterCache::default();
    cache.services.insert(ObjectKey::new("n", "a"), service(&["192.0.2.1"]));
    let first = cache.snapshot(&ClusterSnapshot::default());
    cache.services.insert(ObjectKey::new("n", "b"), service(&["192.0.2.2"]));
    let second = cache.snapshot(&first);
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    assert!(Arc::ptr_eq(&first.addresses[&address], &second.addresses[&address]));
}

#[test]
fn uids_follow_the_services_of_this_load_balancer() {
    let key = ObjectKey::new("n", "a");
    let applied = |uid: Option<&str>| {
        let service = uid.map(|uid| (service(&["192.0.2.1"]), uid.to_owned()));
        ClusterChange::Service(ResourceChange::Applied((key.clone(), service)))
    };
    let mut uids = BTreeMap::new();
    for (change, changed) in [
        (applied(Some("1")), true),
        (applied(Some("1")), false),
        (applied(Some("2")), true),
        (applied(None), true),
        (applied(None), false),
        (ClusterChange::Node(ResourceChange::Synced), false),
    ] {
        assert_eq!(apply_uid(&mut uids, &change), changed, "{change:?}");
    }
}
