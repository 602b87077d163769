//! Single-stack and dual-stack Services, and changes between the two.

use serde_json::{Value, json};

use super::{TestNamespace, annotated, cluster, merged, with_spec};

fn policy(policy: &str) -> Value {
    with_spec(json!({"ipFamilyPolicy": policy}))
}

#[test]
fn services_get_addresses_of_the_families_of_their_cluster_ips() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "families");
    ns.pool("p", &["10.2.0.0/29", "2001:db8:2::/125"], &json!({}));
    ns.service("four", &policy("SingleStack"));
    ns.wait_for_addresses("four", &["10.2.0.0"]);
    ns.service(
        "six",
        &with_spec(json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]})),
    );
    ns.wait_for_addresses("six", &["2001:db8:2::"]);
    ns.service("prefers", &policy("PreferDualStack"));
    ns.wait_for_addresses("prefers", &["10.2.0.1", "2001:db8:2::1"]);
    ns.service("requires", &policy("RequireDualStack"));
    ns.wait_for_addresses("requires", &["10.2.0.2", "2001:db8:2::2"]);
    let asks = merged(
        policy("RequireDualStack"),
        &annotated("loadBalancerIPs", "2001:db8:2::7, 10.2.0.7"),
    );
    ns.service("asks", &asks);
    ns.wait_for_addresses("asks", &["2001:db8:2::7", "10.2.0.7"]);
}

#[test]
fn require_dual_stack_needs_both_families_in_one_pool() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "short");
    ns.pool("four", &["10.2.1.0/30"], &json!({}));
    ns.pool("six", &["2001:db8:2:1::/126"], &json!({}));
    ns.service("requires", &policy("RequireDualStack"));
    ns.wait_for_event("requires", "AllocationFailed", "no IPv4 and IPv6 address is free");
    ns.service("prefers", &policy("PreferDualStack"));
    ns.wait_for_addresses("prefers", &["10.2.1.0"]);
    ns.service(
        "six-first",
        &with_spec(json!({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]})),
    );
    ns.wait_for_addresses("six-first", &["2001:db8:2:1::"]);
    ns.pool("both", &["10.2.1.8/30", "2001:db8:2:1::8/126"], &json!({}));
    ns.wait_for_addresses("requires", &["10.2.1.8", "2001:db8:2:1::8"]);
    // A Service that prefers dual-stack and has one address keeps just that.
    ns.wait_for_controller();
    ns.wait_for_addresses("prefers", &["10.2.1.0"]);
}

#[test]
fn changes_of_the_family_policy_keep_the_common_address() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "changes");
    ns.pool("p", &["10.2.2.0/30", "2001:db8:2:2::/126"], &json!({}));
    ns.service("a", &policy("SingleStack"));
    ns.wait_for_addresses("a", &["10.2.2.0"]);
    ns.patch("a", &policy("PreferDualStack"));
    ns.wait_for_addresses("a", &["10.2.2.0", "2001:db8:2:2::"]);
    ns.patch("a", &policy("RequireDualStack"));
    ns.wait_for_controller();
    ns.wait_for_addresses("a", &["10.2.2.0", "2001:db8:2:2::"]);
    ns.patch(
        "a",
        &with_spec(json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"], "clusterIPs": null})),
    );
    ns.wait_for_addresses("a", &["10.2.2.0"]);
    ns.patch("a", &policy("RequireDualStack"));
    ns.wait_for_addresses("a", &["10.2.2.0", "2001:db8:2:2::"]);
}
