//! Label selectors, validated once and then matched often.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector as KubeSelector, SelectorExt};

/// The labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Why a label selector is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a label selector: {0}")]
pub(crate) struct SelectorError(String);

/// A valid label selector. All its terms must match. An empty selector matches everything.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selector(KubeSelector);

impl Selector {
    /// Validates `selector`.
    ///
    /// # Errors
    /// When an expression has an unknown operator, or values that do not fit its operator.
    pub(crate) fn new(selector: &LabelSelector) -> Result<Self, SelectorError> {
        for expression in selector.match_expressions.iter().flatten() {
            let has_values = expression.values.as_ref().is_some_and(|values| !values.is_empty());
            let key = &expression.key;
            match (expression.operator.as_str(), has_values) {
                ("In" | "NotIn", true) | ("Exists" | "DoesNotExist", false) => {}
                (operator @ ("In" | "NotIn"), false) => {
                    return Err(SelectorError(format!(
                        "operator {operator} of key {key:?} needs values"
                    )));
                }
                (operator @ ("Exists" | "DoesNotExist"), true) => {
                    return Err(SelectorError(format!(
                        "operator {operator} of key {key:?} takes no values"
                    )));
                }
                (operator, _) => {
                    let known = "In, NotIn, Exists or DoesNotExist";
                    return Err(SelectorError(format!(
                        "operator {operator:?} of key {key:?} is none of {known}"
                    )));
                }
            }
        }
        KubeSelector::try_from(selector.clone())
            .map(Self)
            .map_err(|error| SelectorError(error.to_string()))
    }

    /// Whether the selector matches an object with `labels`.
    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.0.matches(labels)
    }
}

/// Whether at least one of `selectors` matches `labels`.
pub(crate) fn any_matches(selectors: &[Selector], labels: &Labels) -> bool {
    selectors.iter().any(|selector| selector.matches(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(json: serde_json::Value) -> Result<Selector, SelectorError> {
        Selector::new(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn all_terms_must_match_and_empty_matches_everything() {
        let labels = Labels::from([("a".to_owned(), "1".to_owned())]);
        let both =
            serde_json::json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]});
        assert!(!selector(both.clone()).unwrap().matches(&labels));
        let labelled = Labels::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        assert!(selector(both).unwrap().matches(&labelled));
        assert!(selector(serde_json::json!({})).unwrap().matches(&labels));
    }

    #[test]
    fn not_in_matches_an_object_without_the_label() {
        let not_in = serde_json::json!({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]});
        assert!(selector(not_in).unwrap().matches(&Labels::new()));
    }

    #[test]
    fn invalid_expressions_are_refused_with_a_reason() {
        for (operator, values, part) in [
            ("Like", vec!["x"], "none of In"),
            ("In", vec![], "needs values"),
            ("Exists", vec!["x"], "takes no values"),
        ] {
            let json = serde_json::json!({"matchExpressions": [{"key": "k", "operator": operator, "values": values}]});
            let error = selector(json).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
