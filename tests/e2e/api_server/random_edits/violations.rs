//! What may not be in a quiet cluster, judged without the code of the controller.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use lodestone_crds::{IPAddressPool, IpRange};

/// What a naive observer sees of a Service of type LoadBalancer.
#[derive(Clone, Debug)]
pub(super) struct ObservedService {
    name: String,
    address: Option<Ipv4Addr>,
    requested: Option<String>,
    sharing_key: Option<String>,
    ports: BTreeSet<i32>,
}

/// Returns `None` for a Service of another type.
pub(super) fn observe(service: &Service) -> Option<ObservedService> {
    let spec = service.spec.as_ref()?;
    (spec.type_.as_deref() == Some("LoadBalancer")).then(|| ObservedService {
        name: service.name_any(),
        address: service.status.as_ref().and_then(|status| {
            status
                .load_balancer
                .as_ref()?
                .ingress
                .as_ref()?
                .first()?
                .ip
                .as_ref()?
                .parse()
                .ok()
        }),
        requested: service.annotations().get("metallb.io/loadBalancerIPs").cloned(),
        sharing_key: service.annotations().get("metallb.io/allow-shared-ip").cloned(),
        ports: spec.ports.iter().flatten().map(|port| port.port).collect(),
    })
}

/// Whether two Services may share an address.
fn may_share(a: &ObservedService, b: &ObservedService) -> bool {
    a.sharing_key.is_some() && a.sharing_key == b.sharing_key && a.ports.is_disjoint(&b.ports)
}

/// Finds addresses that are held twice, and Services that wait although they could be served.
pub(super) fn violations(services: &[ObservedService], pools: &[IPAddressPool]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut holders: BTreeMap<Ipv4Addr, Vec<&ObservedService>> = BTreeMap::new();
    for service in services {
        if let Some(address) = service.address {
            holders.entry(address).or_default().push(service);
        }
    }
    for (address, holders) in &holders {
        for (index, one) in holders.iter().enumerate() {
            for other in holders.iter().skip(index + 1).filter(|other| !may_share(one, other)) {
                violations.push(format!("{address} is held by {} and {}", one.name, other.name));
            }
        }
    }
    let ranges: Vec<IpRange> = pools
        .iter()
        .flat_map(|pool| &pool.spec.addresses)
        .map(|text| text.parse().unwrap())
        .collect();
    let free_for = |service: &ObservedService, address: Ipv4Addr| {
        let others = holders
            .get(&address)
            .into_iter()
            .flatten()
            .filter(|other| other.name != service.name);
        ranges.iter().any(|range| range.contains(address.into()))
            && others.into_iter().all(|other| may_share(service, other))
    };
    let all = (0..3).flat_map(|third| (0..4).map(move |fourth| Ipv4Addr::new(10, 7, third, fourth)));
    for service in services {
        match &service.requested {
            Some(asked) => {
                let address: Ipv4Addr = asked.parse().unwrap();
                if service.address != Some(address) && free_for(service, address) {
                    violations.push(format!(
                        "{} requests {address}, which is free, and has {:?}",
                        service.name, service.address
                    ));
                }
            }
            None if service.address.is_none() => {
                if let Some(address) = all.clone().find(|address| free_for(service, *address)) {
                    violations.push(format!("{} waits although {address} is free", service.name));
                }
            }
            None => {}
        }
    }
    violations
}
