//! What a watch has reported about an object that may not exist.

/// Whether an object exists, and whether that is known yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known<T> {
    /// The watch has not reported on it yet.
    #[default]
    Unknown,
    /// It does not exist.
    Absent,
    /// It exists.
    Present(T),
}

impl<T> Known<T> {
    /// The same knowledge, with the object borrowed.
    pub const fn as_ref(&self) -> Known<&T> {
        match self {
            Self::Unknown => Known::Unknown,
            Self::Absent => Known::Absent,
            Self::Present(object) => Known::Present(object),
        }
    }

    /// Records the end of the first list: an object that was not in it does not exist.
    pub fn set_synced(&mut self) {
        if matches!(self, Self::Unknown) {
            *self = Self::Absent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_missing_from_the_first_list_is_absent() {
        let mut known = Known::<u8>::Unknown;
        known.set_synced();
        assert_eq!(known, Known::Absent);
        let mut known = Known::Present(1);
        known.set_synced();
        assert_eq!(known, Known::Present(1));
    }
}
