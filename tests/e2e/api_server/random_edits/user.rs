//! A user who edits Services, pools and namespaces at random, by seed.

use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use lodestone_crds::IPAddressPool;
use rand::{RngExt, rngs::StdRng};
use serde_json::json;

/// A user who edits objects at random.
pub(super) struct User {
    pub(super) random: StdRng,
    pub(super) services: Api<Service>,
    pub(super) pools: Api<IPAddressPool>,
    pub(super) namespaces: Api<Namespace>,
    pub(super) namespace: String,
}

const POOLS: [&str; 3] = ["p0", "p1", "p2"];

impl User {
    pub(super) async fn step(&mut self) {
        let name = format!("s{}", self.random.random_range(0..10));
        let dice = self.random.random_range(0..100);
        match dice {
            0..45 => self.apply_service(&name).await,
            45..55 => drop(self.services.delete(&name, &DeleteParams::default()).await),
            55..63 => {
                let type_ = if self.random.random_bool(0.5) {
                    "ClusterIP"
                } else {
                    "LoadBalancer"
                };
                let patch = json!({"spec": {"type": type_}});
                drop(
                    self.services
                        .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
                        .await,
                );
            }
            63..70 => {
                // An administrator edits a status.
                let ip = self.address();
                let patch = json!({"status": {"loadBalancer": {"ingress": [{"ip": ip}]}}});
                drop(
                    self.services
                        .patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
                        .await,
                );
            }
            70..88 => self.apply_pool().await,
            88..94 => {
                let pool = POOLS[self.random.random_range(0..POOLS.len())];
                drop(self.pools.delete(pool, &DeleteParams::default()).await);
            }
            _ => {
                let labels = json!({"metadata": {"labels": {"round": dice.to_string()}}});
                drop(
                    self.namespaces
                        .patch(&self.namespace, &PatchParams::default(), &Patch::Merge(labels))
                        .await,
                );
            }
        }
    }

    fn address(&mut self) -> String {
        format!(
            "10.7.{}.{}",
            self.random.random_range(0..3),
            self.random.random_range(0..4)
        )
    }

    async fn apply_service(&mut self, name: &str) {
        let mut annotations = json!({"metallb.io/allow-shared-ip": null, "metallb.io/loadBalancerIPs": null});
        if self.random.random_bool(0.4) {
            annotations["metallb.io/allow-shared-ip"] = ["j", "k"][self.random.random_range(0..2)].into();
        }
        if self.random.random_bool(0.3) {
            annotations["metallb.io/loadBalancerIPs"] = self.address().into();
        }
        let ports = json!([{"port": self.random.random_range(80..83)}]);
        let object = json!({
            "metadata": {"name": name, "annotations": annotations}, "spec": {"type": "LoadBalancer", "ports": ports},
        });
        if self
            .services
            .patch(name, &PatchParams::default(), &Patch::Merge(&object))
            .await
            .is_err()
        {
            let mut object = object;
            object["metadata"]["annotations"]
                .as_object_mut()
                .unwrap()
                .retain(|_, value| !value.is_null());
            drop(
                self.services
                    .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
                    .await,
            );
        }
    }

    async fn apply_pool(&mut self) {
        let index = self.random.random_range(0..POOLS.len());
        let last = self.random.random_range(0..4);
        let object = json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": POOLS[index]},
            "spec": {"addresses": [format!("10.7.{index}.0-10.7.{index}.{last}")]},
        });
        let pool: IPAddressPool = serde_json::from_value(object.clone()).unwrap();
        if self.pools.create(&PostParams::default(), &pool).await.is_err() {
            drop(
                self.pools
                    .patch(POOLS[index], &PatchParams::default(), &Patch::Merge(object))
                    .await,
            );
        }
    }
}
