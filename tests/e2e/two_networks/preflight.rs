//! What is wrong with a node itself is said in its ConfigurationState, with the command that mends it; the tests run that command.

use lodestone_tests::{Cluster, NAMESPACE, Netns, wait_for};

use super::networks::{LIMIT, cluster};

/// No node that a test of this file disturbs may be the API server's.
const NODE: &str = "w2";

/// The condition `preflightPassed` of [`NODE`]'s speaker: its status and its message.
fn preflight(cluster: &Cluster) -> anyhow::Result<Option<(String, String)>> {
    let state = cluster.get(&["-n", NAMESPACE, "configurationstate", &format!("speaker-{NODE}")])?;
    let conditions = state["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let condition = conditions
        .iter()
        .find(|condition| condition["type"] == "preflightPassed");
    let text = |field: &str| {
        condition
            .and_then(|condition| condition[field].as_str())
            .map(str::to_owned)
    };
    Ok(text("status").zip(text("message")))
}

/// Waits until the condition fails with a message that contains `part`, and gives the message.
fn fails(cluster: &Cluster, part: &str) -> String {
    wait_for(&format!("preflight to say {part}"), 3 * LIMIT, || {
        let found = preflight(cluster)?;
        Ok(found.and_then(|(status, message)| (status == "False" && message.contains(part)).then_some(message)))
    })
    .unwrap()
}

fn passes(cluster: &Cluster) {
    wait_for("preflight to pass", 3 * LIMIT, || {
        Ok(preflight(cluster)?.filter(|(status, _)| status == "True"))
    })
    .unwrap();
}

/// Runs the command that a message ends with, as a user would on the node.
fn obey(host: &Netns, message: &str) {
    let (_, command) = message.rsplit_once("sysctl ").unwrap();
    host.tool("sysctl").args(command.split_whitespace()).run().unwrap();
}

/// Kernel parameters have no events; they are read once a minute, and whenever a link changes.
fn let_it_look(host: &Netns) {
    host.ip(&["link", "add", "kube-ipvs9", "type", "bridge"]).unwrap();
    host.ip(&["link", "del", "kube-ipvs9"]).unwrap();
}

#[test]
fn preflight_finds_ipvs_without_strict_arp_once_and_its_command_mends_it() {
    let cluster = cluster();
    let host = cluster.host(NODE);
    passes(&cluster);
    // All that IPVS leaves of itself where the kernel's answers are concerned; kube-proxy makes the interface.
    host.ip(&["link", "add", "kube-ipvs0", "type", "bridge"]).unwrap();
    let message = fails(&cluster, "IPVS without strictARP");
    assert_eq!(
        message.lines().count(),
        1,
        "one problem, however many interfaces: {message}"
    );
    let warned = cluster
        .kubectl(&["-n", NAMESPACE, "logs", &cluster.pod_of("speaker", Some(NODE)).unwrap()])
        .unwrap();
    assert!(warned.contains("IPVS without strictARP"), "{warned}");
    obey(&host, &message);
    let_it_look(&host);
    passes(&cluster);
    host.ip(&["link", "del", "kube-ipvs0"]).unwrap();
    host.tool("sysctl")
        .args([
            "-w",
            "net.ipv4.conf.all.arp_ignore=0",
            "net.ipv4.conf.all.arp_announce=0",
        ])
        .run()
        .unwrap();
}

#[test]
fn preflight_finds_a_strict_reverse_path_and_its_command_mends_it() {
    let cluster = cluster();
    let (host, lan) = (cluster.host(NODE), cluster.lan_interface());
    passes(&cluster);
    let strict = format!("net.ipv4.conf.{lan}.rp_filter=1");
    host.tool("sysctl").args(["-w", &strict]).run().unwrap();
    let_it_look(&host);
    let message = fails(&cluster, &format!("rp_filter is strict on {lan}"));
    assert!(message.contains("default route leads by eth0"), "{message}");
    obey(&host, &message);
    let_it_look(&host);
    passes(&cluster);
}

#[test]
fn preflight_finds_an_interface_that_hears_no_broadcast() {
    let cluster = cluster();
    passes(&cluster);
    cluster.keep_broadcasts_from(NODE).unwrap();
    let message = fails(&cluster, &format!("tcpdump -eni {} arp", cluster.lan_interface()));
    assert!(message.contains("no ARP broadcast has been heard"), "{message}");
    cluster.mend(NODE).unwrap();
    passes(&cluster);
}
