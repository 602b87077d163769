//! The cluster of the tests itself: several side by side, its topologies, its faults, and that nothing is left of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is tests only"
)]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use lodestone_tests::{Cluster, Loss, NAMESPACE, Netns, Spec, StateDir, Topology, images, run, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_cluster"))
}

fn name(of: &str) -> String {
    format!("{of}{}", std::process::id())
}

/// Everything on this machine that belongs to the cluster `name`.
fn traces(name: &str) -> Vec<String> {
    let mut traces = Vec::new();
    let folder = StateDir::of(name).path().display().to_string();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    traces.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&folder))
            .map(|line| format!("mount {line}")),
    );
    let namespaces = run("ip", &["netns", "list"]).unwrap();
    traces.extend(
        namespaces
            .lines()
            .filter(|line| line.starts_with(name))
            .map(|line| format!("namespace {line}")),
    );
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("{folder}/")) {
            traces.push(format!("process {line}"));
        }
    }
    for controller in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let cgroup = controller.path().join(format!("lodestone-{name}"));
        if cgroup.exists() {
            traces.push(format!("cgroup {}", cgroup.display()));
        }
    }
    if Path::new(&folder).exists() {
        traces.push(format!("folder {folder}"));
    }
    traces
}

/// The sockets for device plugins that the kubelets of a cluster listen on, by device and inode.
fn device_plugin_sockets(cluster: &Cluster) -> BTreeSet<(u64, u64)> {
    let kubeconfig = format!("--kubeconfig={}/pki/", cluster.state().path().display());
    let mut sockets = BTreeSet::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let program = line.split('\0').next().unwrap_or_default();
        if program.ends_with("/kubelet") && line.contains(&kubeconfig) {
            let path = process.path().join("root/var/lib/kubelet/device-plugins/kubelet.sock");
            let socket = fs::metadata(path).unwrap();
            sockets.insert((socket.dev(), socket.ino()));
        }
    }
    sockets
}

#[test]
fn two_clusters_run_side_by_side_with_the_same_addresses_and_go_without_a_trace() {
    let spec = |name: &str, topology| Spec {
        workers: 1,
        topology,
        images: images().unwrap(),
        ..Spec::new(name)
    };
    let (one, two) = (name("one"), name("two"));
    let flat = Cluster::up(spec(&one, Topology::Flat), program()).unwrap();
    let split = Cluster::up(spec(&two, Topology::Split), program()).unwrap();
    for cluster in [&flat, &split] {
        cluster.install_lodestone(&[]).unwrap();
        cluster.apply_quickstart().unwrap();
    }
    for cluster in [&flat, &split] {
        let client = cluster.host("client1");
        let address = cluster.address_of("default", "nginxlb").unwrap();
        let answered = || client.http(&address, 80).is_ok();
        wait_until("an answer over HTTP", LIMIT, answered).unwrap();
        let macs: Vec<String> = client.who_has(&address).unwrap().into_iter().collect();
        let nodes = cluster.spec().nodes();
        let lan: Vec<String> = nodes
            .iter()
            .map(|node| cluster.host(node).mac(cluster.lan_interface()).unwrap())
            .collect();
        assert!(macs.len() == 1 && lan.contains(&macs[0]), "{macs:?} of {lan:?}");
    }
    // It is at the same place for all of them, and one that finds another's in its way gives up.
    let sockets: BTreeSet<_> = [&flat, &split]
        .map(device_plugin_sockets)
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(sockets.len(), flat.spec().nodes().len() + split.spec().nodes().len());
    for cluster in [&flat, &split] {
        dual_stack(cluster);
    }
    // In the split topology the nodes know each other by addresses that are not on the LAN.
    assert!(split.addresses("w1").unwrap().ipv4.starts_with("10.10.0."));
    drop(flat);
    assert_eq!(traces(&one), Vec::<String>::new());
    split.kubectl(&["get", "--raw=/readyz"]).unwrap();
    drop(split);
    assert_eq!(traces(&two), Vec::<String>::new());
}

/// Nodes, pods and Services have addresses of both families, and traffic flows in both.
fn dual_stack(cluster: &Cluster) {
    let pod = cluster
        .kubectl(&["get", "pods", "-l", "app=nginx-deployment", "-o", "name"])
        .unwrap();
    let pod = pod.lines().next().unwrap();
    let ips = cluster
        .kubectl(&["get", pod, "-o", "jsonpath={.status.podIPs[*].ip}"])
        .unwrap();
    assert!(ips.split(' ').count() == 2 && ips.contains(':'), "{ips}");
    let service = serde_json::json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "dual"},
        "spec": {
            "type": "NodePort", "ipFamilyPolicy": "RequireDualStack", "selector": {"app": "nginx-deployment"}, "ports": [{"port": 80}],
        },
    });
    cluster.apply(&service.to_string()).unwrap();
    let field = |path: &str| {
        cluster
            .kubectl(&["get", "service", "dual", "-o", &format!("jsonpath={path}")])
            .unwrap()
    };
    let (port, addresses) = (field("{.spec.ports[0].nodePort}"), field("{.spec.clusterIPs[*]}"));
    let client = cluster.host("client1");
    let node = cluster.addresses("w1").unwrap();
    // Where they are apart, kube-proxy serves the ports of Services on the node network only.
    let flat = cluster.spec().topology == Topology::Flat;
    for address in [&node.lan_ipv4, &node.lan_ipv6].into_iter().filter(|_| flat) {
        let answered = || client.http(address, port.parse().unwrap()).is_ok();
        wait_until(&format!("an answer from {address}"), LIMIT, answered).unwrap();
    }
    for address in addresses.split(' ') {
        let url = if address.contains(':') {
            format!("http://[{address}]:80/")
        } else {
            format!("http://{address}:80/")
        };
        let answered = || {
            cluster
                .kubectl(&["exec", pod, "--", "/testserver", "get", &url])
                .is_ok()
        };
        wait_until(&format!("an answer from {url}"), LIMIT, answered).unwrap();
    }
}

#[test]
fn a_cluster_goes_without_a_trace_when_its_owner_is_killed() {
    let name = name("crash");
    let mut owner = Command::new(program())
        .args(["hold", &name])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line.trim(), "up");
    assert!(traces(&name).len() > 5);
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("the end of the cluster", LIMIT, || traces(&name).is_empty())
        .unwrap_or_else(|_| panic!("{:?}", traces(&name)));
}

#[test]
fn faults_do_what_they_say() {
    let spec = Spec {
        workers: 1,
        images: images().unwrap(),
        ..Spec::new(&name("fault"))
    };
    let cluster = Cluster::up(spec, program()).unwrap();
    cluster.install_lodestone(&[]).unwrap();
    let client = cluster.host("client1");
    let to = cluster.addresses("w1").unwrap().lan_ipv4;
    let received = |count: &str| {
        let output = client
            .tool("ping")
            .args(["-c", count, "-i", "0.01", "-W", "1", &to])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text
            .lines()
            .find(|line| line.contains("received"))
            .unwrap_or_else(|| panic!("{text}"));
        line.split(", ")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    assert_eq!(received("20"), 20);
    cluster.lose_on_lan("w1", Loss::All).unwrap();
    assert_eq!(received("3"), 0);
    cluster.lose_on_lan("w1", Loss::Percent(50)).unwrap();
    let some = received("200");
    // Of 200 that are lost with 3/4 in all, none or all would be one chance in 10^10 and less.
    assert!((1..200).contains(&some), "{some}");
    cluster.mend("w1").unwrap();
    assert_eq!(received("20"), 20);
    let carrier = |host: &Netns| host.ip(&["-j", "link", "show", "eth0"]).unwrap().contains("LOWER_UP");
    let node = cluster.host("w1");
    cluster.plug("w1", false).unwrap();
    wait_until("the carrier to go", LIMIT, || !carrier(&node)).unwrap();
    cluster.plug("w1", true).unwrap();
    wait_until("the carrier to come", LIMIT, || carrier(&node)).unwrap();
    let pod = cluster.pod_of("speaker", Some("w1")).unwrap();
    let process = cluster.process_of_pod(NAMESPACE, &pod).unwrap();
    let state = || {
        fs::read_to_string(format!("/proc/{}/stat", process.pid()))
            .unwrap()
            .rsplit_once(") ")
            .unwrap()
            .1[..1]
            .to_owned()
    };
    process.freeze();
    wait_until("the process to stand still", LIMIT, || state() == "T").unwrap();
    process.thaw();
    wait_until("the process to run", LIMIT, || state() != "T").unwrap();
    process.kill();
    wait_until("another process", LIMIT, || {
        cluster
            .process_of_pod(NAMESPACE, &pod)
            .is_ok_and(|other| other.pid() != process.pid())
    })
    .unwrap();
}

#[test]
fn without_root_there_is_a_clear_message() {
    // As nobody, without any capability.
    let output = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            program().to_str().unwrap(),
            "up",
            "x",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && text.contains("need root: run this as root (sudo)"),
        "{text}"
    );
}
