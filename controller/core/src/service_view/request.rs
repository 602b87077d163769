//! The addresses that a Service asks for by name.

use std::{collections::BTreeMap, net::IpAddr};

use lodestone_crds::{ANNOTATION_PREFIX, Family, annotation};

/// The longest quotation of a user's text. An annotation may have a quarter of a megabyte.
const QUOTED_BYTES: usize = 80;

/// The addresses that a Service asks for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// None: any address will do.
    Any,
    /// One, or one of each family.
    Addresses(Vec<IpAddr>),
    /// Something that no pool can provide. The text says why.
    Invalid(String),
}

impl Request {
    /// Reads the annotation `loadBalancerIPs`, or `field`, which is `spec.loadBalancerIP`.
    pub(super) fn parse(annotations: &BTreeMap<String, String>, field: &str) -> Self {
        let listed = annotation(annotations, "loadBalancerIPs").unwrap_or_default();
        let text = match (listed.is_empty(), field.is_empty()) {
            (true, true) => return Self::Any,
            (false, false) => {
                return Self::Invalid(format!(
                    "both the annotation {ANNOTATION_PREFIX}loadBalancerIPs and spec.loadBalancerIP are set; use one"
                ));
            }
            (false, true) => listed,
            (true, false) => field,
        };
        let mut addresses: Vec<IpAddr> = Vec::new();
        for part in text.split(',') {
            match part.trim().parse() {
                Ok(address) => addresses.push(address),
                Err(_) => return Self::Invalid(format!("{:?} is not an IP address", shorten(part.trim()))),
            }
        }
        match addresses.as_slice() {
            [a, b] if Family::of(*a) == Family::of(*b) => Self::Invalid(format!(
                "{a} and {b} are of one family; a Service can have one address of each"
            )),
            [_] | [_, _] => Self::Addresses(addresses),
            _ => Self::Invalid(format!(
                "{:?} asks for {} addresses; a Service can have one of each family",
                shorten(text),
                addresses.len()
            )),
        }
    }
}

fn shorten(text: &str) -> &str {
    let end = (0..=text.len().min(QUOTED_BYTES))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}
