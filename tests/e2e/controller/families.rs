//! Services of one and of both address families, and their changes between them.

use serde_json::{Value, json};

use super::{Space, annotated, both, cluster, spec};

fn policy(policy: &str) -> Value {
    spec(json!({"ipFamilyPolicy": policy}))
}

#[test]
fn services_get_addresses_of_the_families_of_their_cluster_addresses() {
    let cluster = cluster();
    let space = Space::new(&cluster, "families");
    space.pool("p", &["10.2.0.0/29", "2001:db8:2::/125"], &json!({}));
    space.service("four", &policy("SingleStack"));
    space.gets("four", &["10.2.0.0"]);
    space.service(
        "six",
        &spec(json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]})),
    );
    space.gets("six", &["2001:db8:2::"]);
    space.service("prefers", &policy("PreferDualStack"));
    space.gets("prefers", &["10.2.0.1", "2001:db8:2::1"]);
    space.service("requires", &policy("RequireDualStack"));
    space.gets("requires", &["10.2.0.2", "2001:db8:2::2"]);
    let asks = both(
        policy("RequireDualStack"),
        &annotated("loadBalancerIPs", "2001:db8:2::7, 10.2.0.7"),
    );
    space.service("asks", &asks);
    space.gets("asks", &["2001:db8:2::7", "10.2.0.7"]);
}

#[test]
fn who_requires_two_families_gets_both_of_one_pool_or_none_and_who_prefers_them_gets_one() {
    let cluster = cluster();
    let space = Space::new(&cluster, "short");
    space.pool("four", &["10.2.1.0/30"], &json!({}));
    space.pool("six", &["2001:db8:2:1::/126"], &json!({}));
    space.service("requires", &policy("RequireDualStack"));
    space.told("requires", "AllocationFailed", "no IPv4 and IPv6 address is free");
    space.service("prefers", &policy("PreferDualStack"));
    space.gets("prefers", &["10.2.1.0"]);
    space.service(
        "six-first",
        &spec(json!({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]})),
    );
    space.gets("six-first", &["2001:db8:2:1::"]);
    space.pool("both", &["10.2.1.8/30", "2001:db8:2:1::8/126"], &json!({}));
    space.gets("requires", &["10.2.1.8", "2001:db8:2:1::8"]);
    // It is served, and goes on with what it has.
    space.settled();
    space.gets("prefers", &["10.2.1.0"]);
}

#[test]
fn changes_between_the_policies_keep_the_address_that_stays() {
    let cluster = cluster();
    let space = Space::new(&cluster, "changes");
    space.pool("p", &["10.2.2.0/30", "2001:db8:2:2::/126"], &json!({}));
    space.service("a", &policy("SingleStack"));
    space.gets("a", &["10.2.2.0"]);
    space.patch("a", &policy("PreferDualStack"));
    space.gets("a", &["10.2.2.0", "2001:db8:2:2::"]);
    space.patch("a", &policy("RequireDualStack"));
    space.settled();
    space.gets("a", &["10.2.2.0", "2001:db8:2:2::"]);
    space.patch(
        "a",
        &spec(json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"], "clusterIPs": null})),
    );
    space.gets("a", &["10.2.2.0"]);
    space.patch("a", &policy("RequireDualStack"));
    space.gets("a", &["10.2.2.0", "2001:db8:2:2::"]);
}
