//! `helm install` and `helm uninstall`.

use lodestone_tests::{NAMESPACE, PodProcess, wait_until};

use super::{cluster, owner};
use crate::support::{LIMIT, client};

#[test]
fn helm_install_brings_up_one_controller_and_a_speaker_on_every_node() {
    let cluster = cluster();
    let nodes = |component: &str| {
        let selector = format!("app.kubernetes.io/component={component}");
        let path = "jsonpath={.items[*].spec.nodeName}";
        let text = cluster
            .kubectl(&["-n", NAMESPACE, "get", "pods", "-l", &selector, "-o", path])
            .unwrap();
        let mut nodes: Vec<String> = text.split(' ').map(str::to_owned).collect();
        nodes.sort();
        nodes
    };
    assert_eq!(nodes("speaker"), ["cp", "w1", "w2", "w3"]);
    assert_eq!(nodes("controller").len(), 1);
    let kinds = cluster
        .kubectl(&["api-resources", "--api-group=metallb.io", "--no-headers"])
        .unwrap();
    for kind in [
        "ConfigurationState",
        "IPAddressPool",
        "L2Advertisement",
        "ServiceL2Status",
    ] {
        assert!(kinds.lines().any(|line| line.ends_with(kind)), "{kinds}");
    }
}

#[test]
fn p10_speaker_has_net_raw_alone_and_the_controller_nothing() {
    const NET_RAW: u64 = 1 << 13;
    let cluster = cluster();
    let speaker = cluster.pod_of("speaker", Some("w1")).unwrap();
    let controller = cluster.pod_of("controller", None).unwrap();
    for (pod, capabilities) in [(speaker, NET_RAW), (controller, 0)] {
        let process: PodProcess = cluster.process_of_pod(NAMESPACE, &pod).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
        let field = |name: &str| {
            let line = status
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_else(|| panic!("{status}"));
            line.split_once(':').unwrap().1.trim().to_owned()
        };
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(
                u64::from_str_radix(&field(set), 16).unwrap(),
                capabilities,
                "{pod} {set}"
            );
        }
        // A seccomp filter is active, and the process cannot gain privileges.
        assert_eq!(
            (field("Seccomp").as_str(), field("NoNewPrivs").as_str()),
            ("2", "1"),
            "{pod}"
        );
        let mounts = std::fs::read_to_string(format!("/proc/{}/mounts", process.pid())).unwrap();
        let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).unwrap();
        assert!(
            root.split(' ').nth(3).unwrap().split(',').any(|option| option == "ro"),
            "{root}"
        );
    }
}

#[test]
fn helm_uninstall_keeps_pools_and_services_for_the_next_install() {
    let cluster = cluster();
    let before = cluster.address_of("default", "nginxlb").unwrap();
    owner(&cluster, &before);
    cluster
        .helm(&["uninstall", "lodestone", "-n", NAMESPACE, "--wait"])
        .unwrap();
    wait_until("the answers to end", LIMIT, || {
        client(&cluster).who_has(&before).unwrap().is_empty()
    })
    .unwrap();
    for definition in [
        "configurationstates",
        "ipaddresspools",
        "l2advertisements",
        "servicel2statuses",
    ] {
        cluster
            .kubectl(&["get", "customresourcedefinition", &format!("{definition}.metallb.io")])
            .unwrap();
    }
    cluster
        .kubectl(&["-n", NAMESPACE, "get", "ipaddresspool", "lb-ip-pool"])
        .unwrap();
    cluster
        .kubectl(&["-n", NAMESPACE, "get", "l2advertisement", "l2adver"])
        .unwrap();
    assert_eq!(cluster.address_of("default", "nginxlb").unwrap(), before);
    cluster.install_lodestone(&[]).unwrap();
    owner(&cluster, &before);
    assert_eq!(cluster.address_of("default", "nginxlb").unwrap(), before);
}
