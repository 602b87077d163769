//! The test cluster itself: two side by side, their layouts, injected faults, and a clean end.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    net::UdpSocket,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use lodestone_tests::{
    Cluster, Direction, Layout, LossRule, NAMESPACE, Netns, Spec, StateDir, images, run, wait_until,
};

use crate::support::{LIMIT, client, cluster_program};

/// All mounts, network namespaces, processes, cgroups and files on this machine that belong to the
/// cluster `name`.
fn remains(name: &str) -> Vec<String> {
    let mut remains = Vec::new();
    let directory = StateDir::of(name).path().display().to_string();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    remains.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&directory))
            .map(|line| format!("mount {line}")),
    );
    let namespaces = run("ip", &["netns", "list"]).unwrap();
    remains.extend(
        namespaces
            .lines()
            .filter(|line| line.starts_with(name))
            .map(|line| format!("namespace {line}")),
    );
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("{directory}/")) {
            remains.push(format!("process {line}"));
        }
    }
    for controller in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let cgroup = controller.path().join(format!("lodestone-{name}"));
        if cgroup.exists() {
            remains.push(format!("cgroup {}", cgroup.display()));
        }
    }
    if Path::new(&directory).exists() {
        remains.push(format!("directory {directory}"));
    }
    remains
}

/// The device plugin sockets of the kubelets of a cluster, by device and inode.
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
fn two_clusters_run_side_by_side_and_leave_nothing_behind() {
    let spec = |prefix: &str, layout| Spec::unique(prefix).workers(1).layout(layout).images(images().unwrap());
    let flat = Cluster::up(spec("one", Layout::Flat), cluster_program()).unwrap();
    let split = Cluster::up(spec("two", Layout::Split), cluster_program()).unwrap();
    for cluster in [&flat, &split] {
        cluster.install_lodestone(&[]).unwrap();
        cluster.apply_quickstart().unwrap();
    }
    for cluster in [&flat, &split] {
        the_service_answers(cluster);
        both_families_work(cluster);
    }
    // Every kubelet uses the same path; a kubelet that finds the socket of another one exits.
    let sockets: BTreeSet<_> = [&flat, &split]
        .map(device_plugin_sockets)
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(sockets.len(), flat.spec().nodes().len() + split.spec().nodes().len());
    // In the split layout the nodes use addresses on a network other than the LAN.
    assert!(split.addresses("w1").unwrap().ipv4.starts_with("10.10.0."));
    links_lose_packets_and_carrier(&flat);
    messages_between_speakers_are_blocked(&flat);
    pods_freeze_and_restart(&flat);
    let (one, two) = (flat.spec().name().to_owned(), split.spec().name().to_owned());
    drop(flat);
    assert_eq!(remains(&one), Vec::<String>::new());
    split.kubectl(&["get", "--raw=/readyz"]).unwrap();
    drop(split);
    assert_eq!(remains(&two), Vec::<String>::new());
}

/// A host on the LAN gets an answer, and exactly one node announces the address.
fn the_service_answers(cluster: &Cluster) {
    let client = client(cluster);
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

/// Pods and Services have addresses of both families and answer under all of them.
fn both_families_work(cluster: &Cluster) {
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
    let client = client(cluster);
    let node = cluster.addresses("w1").unwrap();
    // In the split layout kube-proxy serves node ports on the node network only.
    let on_lan = !cluster.spec().has(Layout::Split);
    for address in [&node.lan_ipv4, &node.lan_ipv6].into_iter().filter(|_| on_lan) {
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

/// Losses and cables do what their names say.
fn links_lose_packets_and_carrier(cluster: &Cluster) {
    let client = client(cluster);
    let to = cluster.addresses("w1").unwrap().lan_ipv4;
    let pings_answered = |count: &str| -> u32 {
        let output = client
            .tool("ping")
            .args(["-c", count, "-i", "0.01", "-W", "1", &to])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // "20 packets transmitted, 20 received, 0% packet loss, time 190ms"
        let answered = text
            .lines()
            .find(|line| line.contains("received"))
            .and_then(|line| line.split(", ").nth(1)?.split(' ').next()?.parse().ok());
        answered.unwrap_or_else(|| panic!("{text}"))
    };
    assert_eq!(pings_answered("20"), 20);
    cluster.set_lan_loss("w1", LossRule::All).unwrap();
    assert_eq!(pings_answered("3"), 0);
    cluster.set_lan_loss("w1", LossRule::Percent(50)).unwrap();
    let some = pings_answered("200");
    // Each ping is lost with probability 3/4: all or none of 200 has a chance below 10^-10.
    assert!((1..200).contains(&some), "{some}");
    cluster.restore_links("w1").unwrap();
    assert_eq!(pings_answered("20"), 20);
    let node = cluster.host("w1");
    let has_carrier = |host: &Netns| host.ip(&["-j", "link", "show", "eth0"]).unwrap().contains("LOWER_UP");
    cluster.set_forwarding("w1", false).unwrap();
    assert_eq!(pings_answered("3"), 0);
    assert!(has_carrier(&node));
    cluster.set_forwarding("w1", true).unwrap();
    assert_eq!(pings_answered("20"), 20);
    cluster.set_carrier("w1", false).unwrap();
    wait_until("the loss of the carrier", LIMIT, || !has_carrier(&node)).unwrap();
    cluster.set_carrier("w1", true).unwrap();
    wait_until("the carrier", LIMIT, || has_carrier(&node)).unwrap();
}

/// Messages between speakers can be blocked in each direction; other datagrams pass.
fn messages_between_speakers_are_blocked(cluster: &Cluster) {
    let bind = |host: &str, port: u16| {
        let open = || Ok(UdpSocket::bind(("0.0.0.0", port))?);
        let socket = cluster.host(host).within(open).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        socket
    };
    // No speaker runs on a client, so the port of the speakers is free there.
    let (speaker, other) = (bind("client1", 7947), bind("client1", 7948));
    let (sender, address) = (bind("w1", 0), "192.168.122.201");
    let arrives = |socket: &UdpSocket| {
        let port = socket.local_addr().unwrap().port();
        sender.send_to(b"hello", (address, port)).unwrap();
        socket.recv(&mut [0; 16]).is_ok()
    };
    for (host, direction, expected) in [
        ("w1", Direction::Outgoing, false),
        ("w1", Direction::Incoming, true),
        ("w1", Direction::Both, false),
        ("client1", Direction::Outgoing, true),
        ("client1", Direction::Incoming, false),
        ("client1", Direction::Both, false),
    ] {
        cluster.block_speaker_messages(host, direction).unwrap();
        assert_eq!(arrives(&speaker), expected, "{host}, {direction:?}");
        assert!(arrives(&other), "{host}, {direction:?}");
        cluster.restore_links(host).unwrap();
        assert!(arrives(&speaker));
    }
}

/// The process of a pod can be frozen, thawed and killed; the kubelet restarts it.
fn pods_freeze_and_restart(cluster: &Cluster) {
    let pod = cluster.pod_of("speaker", Some("w1")).unwrap();
    let process = cluster.process_of_pod(NAMESPACE, &pod).unwrap();
    let is_stopped = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    };
    process.freeze();
    wait_until("the process to stop", LIMIT, is_stopped).unwrap();
    process.thaw();
    wait_until("the process to continue", LIMIT, || !is_stopped()).unwrap();
    process.kill();
    wait_until("another process", LIMIT, || {
        cluster
            .process_of_pod(NAMESPACE, &pod)
            .is_ok_and(|other| other.pid() != process.pid())
    })
    .unwrap();
}

#[test]
fn cluster_whose_owner_is_killed_leaves_nothing_behind() {
    let name = format!("crash{}", std::process::id());
    let mut owner = Command::new(cluster_program())
        .args(["hold", &name])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line.trim(), "up");
    assert!(remains(&name).len() > 5);
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("the end of the cluster", LIMIT, || remains(&name).is_empty())
        .unwrap_or_else(|_| panic!("{:?}", remains(&name)));
}

#[test]
fn without_root_the_message_says_what_is_missing() {
    // As the user nobody, without any capability.
    let output = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            cluster_program().to_str().unwrap(),
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
