//! The change from MetalLB and back, with the commands of docs/from-metallb.md. Each test has its
//! own cluster.

mod guide;
mod metallb;
mod service_watch;

use lodestone_tests::{Cluster, NAMESPACE, Spec, images, wait_for, wait_until};

use crate::support::{LIMIT, client, cluster_program};
use guide::Guide;
use metallb::{InstalledBy, POOLS, SERVICES};
use service_watch::{ServiceWatch, Version};

const STEPS: &str = "The steps";
const DEFINITIONS_STAYED: &str = "If the definitions stayed";
const BACK: &str = "To go back";

fn start(name: &str) -> Cluster {
    let spec = Spec::unique(name).workers(2).images(images().unwrap());
    Cluster::up(spec, cluster_program()).unwrap()
}

#[test]
fn p7_addresses_stay_through_a_change_from_metallb_and_back() {
    let cluster = start("mh");
    let guide = Guide::read(&cluster);
    metallb::leave(&cluster, &guide, InstalledBy::Helm);
    let watch = ServiceWatch::start(&cluster);
    let saved = guide.follow(STEPS, 2);
    assert!(
        saved.contains("announcedInterfacesToExclude") && saved.contains("logLevel: debug"),
        "{saved}"
    );
    for step in 3..=5 {
        guide.follow(STEPS, step);
    }
    // A step that a reader repeats does no harm.
    guide.follow(STEPS, 5);
    assert_nobody_announces(&cluster);
    guide.follow(STEPS, 6);
    assert_lodestone_works(&cluster);
    guide.follow(STEPS, 5);
    guide.follow(STEPS, 7);
    guide.follow(BACK, 1);
    guide.follow(BACK, 2);
    for (pool, _) in POOLS {
        cluster
            .kubectl(&["-n", NAMESPACE, "get", "ipaddresspool", pool])
            .unwrap();
    }
    assert_nothing_was_reassigned(&cluster, watch);
}

#[test]
fn p7_addresses_stay_where_metallb_leaves_its_definitions() {
    let cluster = start("mk");
    let guide = Guide::read(&cluster);
    metallb::leave(&cluster, &guide, InstalledBy::Kubectl);
    let watch = ServiceWatch::start(&cluster);
    let programs = "deployment/metallb-controller daemonset/metallb-speaker service/metallb-webhook-service";
    guide.run(&format!("kubectl delete -n {NAMESPACE} {programs}"));
    let edit = ["-n", NAMESPACE, "label", "ipaddresspool", "alpha", "edited=yes"];
    let refusal = cluster.kubectl(&edit).unwrap_err().to_string();
    assert!(refusal.contains("failed calling webhook"), "{refusal}");
    guide.follow(DEFINITIONS_STAYED, 4);
    guide.follow(DEFINITIONS_STAYED, 5);
    assert_nobody_announces(&cluster);
    guide.follow(STEPS, 6);
    assert_lodestone_works(&cluster);
    guide.follow(STEPS, 7);
    cluster.kubectl(&edit).unwrap();
    assert_nothing_was_reassigned(&cluster, watch);
}

/// The guide starts the controller last. This is what happens to a reader who does not.
#[test]
fn p7_addresses_stay_when_the_controller_starts_before_the_pools() {
    let cluster = start("me");
    let guide = Guide::read(&cluster);
    metallb::leave(&cluster, &guide, InstalledBy::Helm);
    let watch = ServiceWatch::start(&cluster);
    guide.follow(STEPS, 2);
    guide.follow(STEPS, 3);
    cluster.install_lodestone(&[]).unwrap();
    metallb::apply_advertisement(&cluster);
    metallb::apply_pool(&cluster, "alpha");
    for service in SERVICES.iter().filter(|service| service.pool != "alpha") {
        cluster
            .wait_for_event("default", service.name, "AddressRetained")
            .unwrap();
    }
    assert_each_address_is_answered(&cluster);
    guide.follow(STEPS, 5);
    assert_lodestone_works(&cluster);
    assert_nothing_was_reassigned(&cluster, watch);
}

/// The speakers wait for the key, which the controller generates.
fn assert_nobody_announces(cluster: &Cluster) {
    for service in &SERVICES {
        let macs = client(cluster).who_has(service.address).unwrap();
        assert!(macs.is_empty(), "{macs:?} answer for {}", service.address);
    }
}

/// One node announces each address, and clients reach the Service there.
fn assert_each_address_is_answered(cluster: &Cluster) {
    for service in &SERVICES {
        cluster.owner_of(service.address).unwrap();
        let answered = || client(cluster).http(service.address, 80).is_ok();
        wait_until(&format!("an answer from {}", service.address), LIMIT, answered).unwrap();
    }
}

/// What step 7 of the guide checks.
fn assert_lodestone_works(cluster: &Cluster) {
    cluster.wait_for_lodestone().unwrap();
    assert_each_address_is_answered(cluster);
    for (pool, _) in POOLS {
        let condition = "--for=condition=Accepted";
        cluster
            .kubectl(&[
                "-n",
                NAMESPACE,
                "wait",
                condition,
                "ipaddresspool",
                pool,
                "--timeout=60s",
            ])
            .unwrap();
    }
    let nodes = cluster.spec().nodes();
    let names = nodes.iter().map(|node| format!("speaker-{node}"));
    for name in names.chain(["controller".to_owned()]) {
        let valid = "--for=jsonpath={.status.result}=Valid";
        cluster
            .kubectl(&[
                "-n",
                NAMESPACE,
                "wait",
                valid,
                "configurationstate",
                &name,
                "--timeout=60s",
            ])
            .unwrap();
    }
    for service in &SERVICES {
        let label = format!("metallb.io/service-name={}", service.name);
        let get = ["-n", NAMESPACE, "get", "servicel2statuses", "-l", &label, "-o", "name"];
        // MetalLB's own has ended with its pod.
        wait_for(&format!("one ServiceL2Status of {}", service.name), LIMIT, || {
            let names = cluster.kubectl(&get)?;
            Ok((names.lines().count() == 1 && !names.contains("l2-abcde")).then_some(()))
        })
        .unwrap();
    }
}

/// No Service had another address at any time, none was written without need, and no event says
/// otherwise.
fn assert_nothing_was_reassigned(cluster: &Cluster, watch: ServiceWatch<'_>) {
    let versions = watch.finish();
    for service in &SERVICES {
        let version = |pool: &str, deprecated_pool: &str| Version {
            addresses: service.address.to_owned(),
            pool: pool.to_owned(),
            deprecated_pool: deprecated_pool.to_owned(),
        };
        let after = version(service.pool, "");
        let expected = if service.name == "old" {
            // The one write moves the record to the current prefix.
            vec![version("", service.pool), after]
        } else {
            vec![after]
        };
        assert_eq!(versions[service.name], expected, "{}", service.name);
    }
    let reasons = r#"jsonpath={range .items[?(@.involvedObject.kind=="Service")]}{.reason} {end}"#;
    let reasons = cluster.kubectl(&["get", "events", "-o", reasons]).unwrap();
    for unwanted in ["ClearAssignment", "IPAllocated", "AllocationFailed"] {
        assert!(!reasons.contains(unwanted), "{reasons}");
    }
}
