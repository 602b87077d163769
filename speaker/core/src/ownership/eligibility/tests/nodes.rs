//! Which nodes may own an address, by their conditions, labels and addresses.

use super::*;

#[test]
fn p5_address_of_a_node_is_announced_by_no_node() {
    let address: IpAddr = ADDRESS.parse().unwrap();
    let mut networks = speakers_everywhere();
    networks.remove("b");
    for node in ["b", "c"] {
        for is_internal in [true, false] {
            let mut snapshot = snapshot(&[json!({})], vec![service()]);
            let own = snapshot.nodes.get_mut(node).unwrap();
            if is_internal {
                own.address = Some(address);
            } else {
                own.addresses.insert(address);
            }
            let text = |name: &str| if name == node { "OwnAddress" } else { "NodeAddress" };
            assert_eq!(verdict_texts(&snapshot, &networks), ["a", "b", "c"].map(text));
        }
    }
}

#[test]
fn p5_address_on_an_interface_of_a_node_is_announced_by_that_node_only() {
    let mut networks = speakers_everywhere();
    let left_behind = network("eth0", &["192.0.2.77/24", &format!("{ADDRESS}/32")]);
    networks.insert("b".into(), vec![left_behind]);
    assert_eq!(
        verdict_texts(&snapshot(&[json!({})], vec![service()]), &networks),
        ["NodeAddress", "ok", "NodeAddress"]
    );
}

#[test]
fn every_node_with_a_speaker_is_eligible() {
    let mut networks = speakers_everywhere();
    networks.remove("b");
    assert_eq!(
        verdict_texts(&snapshot(&[json!({})], vec![service()]), &networks),
        ["ok", "NoSpeaker", "ok"]
    );
}

#[test]
fn conditions_and_labels_of_a_node_decide() {
    let mut snapshot = snapshot(&[json!({})], vec![service()]);
    snapshot.nodes.get_mut("a").unwrap().network_unavailable = true;
    snapshot
        .nodes
        .get_mut("b")
        .unwrap()
        .labels
        .insert(EXCLUDE_LABEL.to_owned(), String::new());
    assert_eq!(
        verdict_texts(&snapshot, &speakers_everywhere()),
        ["NetworkUnavailable", "ExcludedByLabel", "ok"]
    );
    snapshot.ignore_exclude_label = true;
    assert_eq!(
        verdict_texts(&snapshot, &speakers_everywhere()),
        ["NetworkUnavailable", "ok", "ok"]
    );
}
