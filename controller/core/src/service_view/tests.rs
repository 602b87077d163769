use serde_json::json;

use super::*;

fn view(json: serde_json::Value) -> ServiceView {
    ServiceView::new(&serde_json::from_value(json).unwrap(), "")
}

#[test]
fn requests_are_read_from_annotation_or_field() {
    let asks = |annotations: serde_json::Value, field: &str| {
        view(json!({
            "metadata": {"name": "a", "namespace": "n", "annotations": annotations},
            "spec": {"type": "LoadBalancer", "loadBalancerIP": field},
        }))
        .request
    };
    let one: IpAddr = "192.0.2.1".parse().unwrap();
    let six: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(asks(json!({}), ""), Request::Any);
    assert_eq!(asks(json!({}), "192.0.2.1"), Request::Addresses(vec![one]));
    let both = json!({"metallb.io/loadBalancerIPs": " 2001:db8::1 , 192.0.2.1"});
    assert_eq!(asks(both, ""), Request::Addresses(vec![six, one]));
    let old = json!({"metallb.universe.tf/loadBalancerIPs": "192.0.2.1"});
    assert_eq!(asks(old, ""), Request::Addresses(vec![one]));
    for (annotations, field, part) in [
        (
            json!({"metallb.io/loadBalancerIPs": "192.0.2.1"}),
            "192.0.2.1",
            "use one",
        ),
        (json!({}), "nonsense", "\"nonsense\" is not an IP address"),
        (
            json!({"metallb.io/loadBalancerIPs": "192.0.2.1,"}),
            "",
            "\"\" is not an IP address",
        ),
        (
            json!({"metallb.io/loadBalancerIPs": "192.0.2.1,192.0.2.2"}),
            "",
            "of one family",
        ),
        (
            json!({"metallb.io/loadBalancerIPs": "192.0.2.1,2001:db8::1,192.0.2.2"}),
            "",
            "asks for 3 addresses",
        ),
    ] {
        let request = asks(annotations, field);
        assert!(
            matches!(&request, Request::Invalid(text) if text.contains(part)),
            "{request:?}"
        );
    }
}

#[test]
fn service_of_another_class_or_type_is_not_ours() {
    let is_ours =
        |spec: serde_json::Value| view(json!({"metadata": {"name": "a", "namespace": "n"}, "spec": spec})).is_ours;
    assert!(is_ours(json!({"type": "LoadBalancer"})));
    assert!(!is_ours(json!({"type": "LoadBalancer", "loadBalancerClass": "other"})));
    for other in ["ClusterIP", "NodePort", "ExternalName"] {
        assert!(!is_ours(json!({"type": other})));
    }
    assert!(!is_ours(json!({})));
}

#[test]
fn versions_are_compared_as_numbers() {
    let at = |version: &str| {
        view(json!({"metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": version}}))
    };
    assert!(at("10").is_newer_than(&at("9")));
    assert!(!at("9").is_newer_than(&at("10")));
    assert!(!at("x").is_newer_than(&at("9")));
}
