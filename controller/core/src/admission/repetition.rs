//! Finds list items that repeat an earlier one. A repetition says that the user meant something
//! else.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use lodestone_crds::{IPAddressPool, L2Advertisement};

use super::Edit;

/// The first repetition in the new object, with the path of its field.
pub(super) fn find(edit: &Edit) -> Option<String> {
    match edit {
        Edit::Pool(edit) => in_pool(edit.new.as_ref()?),
        Edit::L2Advertisement(edit) => in_l2_advertisement(edit.new.as_ref()?),
    }
}

fn in_pool(pool: &IPAddressPool) -> Option<String> {
    let allocation = pool.spec.service_allocation.as_ref()?;
    let field = |name: &str| format!("spec.serviceAllocation.{name}");
    in_list(&field("namespaces"), &allocation.namespaces)
        .or_else(|| in_selectors(&field("namespaceSelectors"), &allocation.namespace_selectors))
        .or_else(|| in_selectors(&field("serviceSelectors"), &allocation.service_selectors))
}

fn in_l2_advertisement(advertisement: &L2Advertisement) -> Option<String> {
    let spec = &advertisement.spec.spec;
    in_list("spec.ipAddressPools", &spec.ip_address_pools)
        .or_else(|| in_selectors("spec.ipAddressPoolSelectors", &spec.ip_address_pool_selectors))
        .or_else(|| in_selectors("spec.nodeSelectors", &spec.node_selectors))
        .or_else(|| in_selectors("spec.serviceSelectors", &spec.service_selectors))
}

fn in_selectors(field: &str, selectors: &[LabelSelector]) -> Option<String> {
    let inside = selectors.iter().enumerate().find_map(|(index, selector)| {
        let field = format!("{field}[{index}].matchExpressions");
        let expressions = selector.match_expressions.as_deref().unwrap_or_default();
        let values = expressions.iter().enumerate().find_map(|(index, expression)| {
            let values = expression.values.as_deref().unwrap_or_default();
            in_list(&format!("{field}[{index}].values"), values)
        });
        in_list(&field, expressions).or(values)
    });
    in_list(field, selectors).or(inside)
}

fn in_list<T: PartialEq>(field: &str, items: &[T]) -> Option<String> {
    let (index, earlier) = items.iter().enumerate().find_map(|(index, item)| {
        let earlier = items.iter().take(index).position(|earlier| earlier == item)?;
        Some((index, earlier))
    })?;
    Some(format!("{field}[{index}]: the same as [{earlier}]"))
}
