//! The cost of the allocator with a hundred to a million addresses in use.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::net::{IpAddr, Ipv4Addr};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lodestone_controller_core::alloc::{AddressHolder, Allocator, Backend, Port, Protocol};
use lodestone_crds::{Config, Family, IPAddressPool, ObjectKey, Resources};
use serde_json::json;

const SIZES: [u32; 5] = [100, 1000, 10_000, 100_000, 1_000_000];

fn holder() -> AddressHolder {
    AddressHolder {
        sharing_key: None,
        backend: Backend::AnyNode,
        ports: vec![Port {
            protocol: Protocol("TCP".to_owned()),
            number: 80,
        }],
        since: None,
    }
}

fn address(index: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + index).into()
}

fn key(index: u32) -> ObjectKey {
    ObjectKey::new("n", &format!("s{index}"))
}

fn full(size: u32) -> Allocator {
    let mut allocator = Allocator::default();
    for index in 0..size {
        allocator.hold(&key(index), &holder(), &[address(index)]);
    }
    allocator
}

fn config() -> Config {
    let pool = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "p"}, "spec": {"addresses": ["10.0.0.0/8"]},
    });
    let pools = vec![serde_json::from_value::<IPAddressPool>(pool).unwrap()];
    Config::build(&Resources {
        pools,
        ..Resources::default()
    })
}

fn benches(criterion: &mut Criterion) {
    let config = config();
    let (pool, holder) = (&config.pools["p"], holder());
    for size in SIZES {
        let new = key(size);
        let mut allocator = full(size);
        criterion.bench_function(&format!("allocate/{size}"), |bencher| {
            bencher.iter(|| {
                let found = allocator.first_fit(pool, Family::V4, &new, &holder).unwrap();
                allocator.take(&new, &holder, &[found]).unwrap();
                allocator.release_all(&new)
            });
        });
        // Releases an address in the middle and takes it again.
        let middle = key(size / 2);
        criterion.bench_function(&format!("release and adopt/{size}"), |bencher| {
            bencher.iter(|| {
                allocator.release_all(&middle);
                allocator.take(&middle, &holder, &[address(size / 2)]).unwrap();
            });
        });
    }
    for size in SIZES {
        criterion.bench_function(&format!("adopt all/{size}"), |bencher| {
            bencher.iter_batched(|| (), |()| full(size), BatchSize::LargeInput);
        });
    }
}

criterion_group!(alloc, benches);
criterion_main!(alloc);
