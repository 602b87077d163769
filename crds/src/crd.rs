//! The CustomResourceDefinitions that the chart ships.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{ConfigurationState, IPAddressPool, L2Advertisement, ServiceL2Status};

/// Every CustomResourceDefinition, in the order of the chart.
#[must_use]
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![
        ConfigurationState::crd(),
        IPAddressPool::crd(),
        L2Advertisement::crd(),
        ServiceL2Status::crd(),
    ];
    for definition in &mut definitions {
        // helm uninstall must not take the users' pools along: deleting a definition deletes all its objects.
        let annotations = definition.metadata.annotations.get_or_insert_default();
        annotations.insert("helm.sh/resource-policy".to_owned(), "keep".to_owned());
    }
    definitions
}

/// All definitions as YAML documents.
///
/// # Errors
/// When a definition can't be written as YAML, which would be a defect of its type.
pub fn to_yaml() -> Result<String, serde_saphyr::ser::Error> {
    let mut text = String::from("# Made by crdgen from the types in crds/: change those, then run `make crds`.\n");
    for definition in custom_resource_definitions() {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&definition)?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definitions_of_the_chart_are_those_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/lodestone/files/crds.yaml");
        let shipped = std::fs::read_to_string(path).unwrap();
        assert!(shipped == super::to_yaml().unwrap(), "{path} is stale: run `make crds`");
    }
}
