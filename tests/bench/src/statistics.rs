//! How what was measured several times is said.

/// The middle one of `values` (of an even number the larger of the two in the middle) and the largest, as `show` says one of them.
pub fn median_and_most<T: Copy + PartialOrd>(mut values: Vec<T>, show: impl Fn(T) -> String) -> String {
    values.sort_unstable_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    match (values.get(values.len() / 2), values.last()) {
        (Some(median), Some(most)) => format!("{}, at most {}", show(*median), show(*most)),
        _ => "not measured".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_largest_are_said_and_nothing_where_there_was_no_round() {
        let said = |values: &[f64]| median_and_most(values.to_vec(), |value| format!("{value:.1} MB"));
        assert_eq!(said(&[3.0, 1.0, 2.0]), "2.0 MB, at most 3.0 MB");
        assert_eq!(said(&[4.0, 1.0, 3.0, 2.0]), "3.0 MB, at most 4.0 MB");
        assert_eq!(said(&[7.0]), "7.0 MB, at most 7.0 MB");
        assert_eq!(said(&[]), "not measured");
    }
}
