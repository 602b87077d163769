//! Summaries of values that were measured several times.

use std::{cmp::Ordering, time::Duration};

/// Returns the median and the maximum of `values` as text, each formatted by `format`.
///
/// With an even number of values the median is the larger of the two in the middle.
pub fn median_and_max<T: Copy + PartialOrd>(mut values: Vec<T>, format: impl Fn(T) -> String) -> String {
    values.sort_unstable_by(|one, other| one.partial_cmp(other).unwrap_or(Ordering::Equal));
    match (values.get(values.len() / 2), values.last()) {
        (Some(median), Some(max)) => format!("median {}, max {}", format(*median), format(*max)),
        _ => "not measured".to_owned(),
    }
}

/// Returns the smallest of `times` that at least `percent` percent of them do not exceed. Sorts
/// `times`; returns zero if there are none.
pub fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_max_of_odd_even_single_and_no_values() {
        let summary = |values: &[f64]| median_and_max(values.to_vec(), |value| format!("{value:.1} MB"));
        assert_eq!(summary(&[3.0, 1.0, 2.0]), "median 2.0 MB, max 3.0 MB");
        assert_eq!(summary(&[4.0, 1.0, 3.0, 2.0]), "median 3.0 MB, max 4.0 MB");
        assert_eq!(summary(&[7.0]), "median 7.0 MB, max 7.0 MB");
        assert_eq!(summary(&[]), "not measured");
    }
}
