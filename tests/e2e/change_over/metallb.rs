//! What MetalLB leaves in a cluster. The chart in the directory `metallb` is its installation. This
//! file adds what its users and its programs write.

use lodestone_tests::{Cluster, NAMESPACE};
use serde_json::{Value, json};

use super::guide::Guide;

/// The pools, with their addresses.
pub(super) const POOLS: [(&str, &str); 2] = [
    ("alpha", "192.168.122.110-192.168.122.119"),
    ("beta", "192.168.122.130-192.168.122.139"),
];

/// A Service that MetalLB gave an address.
pub(super) struct Assigned {
    pub(super) name: &'static str,
    /// Not the first address of its pool: a new allocation would give it another one.
    pub(super) address: &'static str,
    pub(super) pool: &'static str,
    /// The prefix of the annotation that records the pool.
    prefix: &'static str,
}

/// The Services. `old` is as MetalLB before 0.14.9 left it.
pub(super) const SERVICES: [Assigned; 3] = [
    Assigned {
        name: "first",
        address: "192.168.122.115",
        pool: "alpha",
        prefix: "metallb.io/",
    },
    Assigned {
        name: "old",
        address: "192.168.122.135",
        pool: "beta",
        prefix: "metallb.universe.tf/",
    },
    Assigned {
        name: "second",
        address: "192.168.122.137",
        pool: "beta",
        prefix: "metallb.io/",
    },
];

/// How MetalLB was installed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum InstalledBy {
    Helm,
    Kubectl,
}

/// Leaves the cluster as MetalLB has it while its Services work.
pub(super) fn leave(cluster: &Cluster, guide: &Guide<'_>, installed_by: InstalledBy) {
    let install = |webhook: bool| match installed_by {
        InstalledBy::Helm => format!(
            "helm upgrade --install metallb metallb/metallb -n {NAMESPACE} --create-namespace \
             --set webhook={webhook},speaker.logLevel=debug"
        ),
        InstalledBy::Kubectl => {
            format!("helm template metallb metallb/metallb -n {NAMESPACE} --set webhook={webhook} | kubectl apply -f -")
        }
    };
    if installed_by == InstalledBy::Kubectl {
        guide.run(&format!("kubectl create namespace {NAMESPACE}"));
    }
    guide.run(&install(false));
    guide.run("kubectl wait --for=condition=Established customresourcedefinitions --all");
    for workload in ["deployment/metallb-controller", "daemonset/metallb-speaker"] {
        guide.run(&format!(
            "kubectl rollout status -n {NAMESPACE} {workload} --timeout=60s"
        ));
    }
    for (name, _) in POOLS {
        apply_pool(cluster, name);
        let counts = json!({"assignedIPv4": 1, "assignedIPv6": 0, "availableIPv4": 9, "availableIPv6": 0});
        patch_status(cluster, NAMESPACE, "ipaddresspool", name, &json!({"status": counts}));
    }
    apply_advertisement(cluster);
    report(cluster);
    serve(cluster);
    for service in &SERVICES {
        assign(cluster, service);
    }
    // In MetalLB the webhook works while pools are written, and ends with the controller.
    guide.run(&install(true));
}

/// Applies one of the pools.
pub(super) fn apply_pool(cluster: &Cluster, name: &str) {
    let addresses = POOLS.iter().find(|pool| pool.0 == name).unwrap().1;
    let spec = json!({"addresses": [addresses]});
    apply(cluster, "IPAddressPool", &json!({"name": name}), json!({"spec": spec}));
}

/// Applies the advertisement of both pools, by their names.
pub(super) fn apply_advertisement(cluster: &Cluster) {
    let spec = json!({"ipAddressPools": POOLS.map(|pool| pool.0)});
    apply(
        cluster,
        "L2Advertisement",
        &json!({"name": "lan"}),
        json!({"spec": spec}),
    );
}

fn apply(cluster: &Cluster, kind: &str, metadata: &Value, mut object: Value) {
    object["apiVersion"] = "metallb.io/v1beta1".into();
    object["kind"] = kind.into();
    object["metadata"] = metadata.clone();
    object["metadata"]["namespace"] = NAMESPACE.into();
    cluster.apply(&object.to_string()).unwrap();
}

/// MetalLB's statuses. They belong to its pods.
fn report(cluster: &Cluster) {
    let owner = |component: &str| {
        let pod = cluster.pod_of(component, Some("w1")).unwrap();
        let uid = cluster.get(&["-n", NAMESPACE, "pod", &pod]).unwrap()["metadata"]["uid"].clone();
        json!([{"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}])
    };
    let speaker = json!({
        "name": "speaker-w1", "ownerReferences": owner("speaker"),
        "labels": {"metallb.io/component-type": "speaker", "metallb.io/node-name": "w1"},
    });
    apply(cluster, "ConfigurationState", &speaker, json!({}));
    let valid = json!({"status": {"result": "Valid"}});
    patch_status(cluster, NAMESPACE, "configurationstate", "speaker-w1", &valid);
    let announced = json!({
        "name": "l2-abcde", "ownerReferences": owner("speaker"),
        "labels": {
            "metallb.io/node": "w1", "metallb.io/service-name": "first", "metallb.io/service-namespace": "default",
        },
    });
    apply(cluster, "ServiceL2Status", &announced, json!({"spec": {}}));
    let status = json!({"status": {"node": "w1", "serviceName": "first", "serviceNamespace": "default"}});
    patch_status(cluster, NAMESPACE, "servicel2status", "l2-abcde", &status);
}

/// Starts a pod behind the Services.
fn serve(cluster: &Cluster) {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "server", "image": "nginx:1.29"}], "terminationGracePeriodSeconds": 0},
            },
        },
    });
    cluster.apply(&deployment.to_string()).unwrap();
    cluster
        .kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .unwrap();
}

/// Creates a Service, and writes address and annotation as MetalLB does: through the status.
fn assign(cluster: &Cluster, service: &Assigned) {
    let object = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": service.name, "namespace": "default"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]},
    });
    cluster.apply(&object.to_string()).unwrap();
    let assigned = json!({
        "metadata": {"annotations": {format!("{}ip-allocated-from-pool", service.prefix): service.pool}},
        "status": {"loadBalancer": {"ingress": [{"ip": service.address}]}},
    });
    patch_status(cluster, "default", "service", service.name, &assigned);
}

fn patch_status(cluster: &Cluster, namespace: &str, kind: &str, name: &str, patch: &Value) {
    let patch = patch.to_string();
    let args = [
        "-n",
        namespace,
        "patch",
        kind,
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ];
    cluster.kubectl(&args).unwrap();
}
