//! The watches that the controller waits for.

/// A watch whose first list must be complete before the first address is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchKind {
    Service,
    Namespace,
    IPAddressPool,
    L2Advertisement,
}

impl WatchKind {
    /// All of them.
    const ALL: WatchSet =
        WatchSet(Self::Service.bit() | Self::Namespace.bit() | Self::IPAddressPool.bit() | Self::L2Advertisement.bit());

    /// Those of the configuration.
    const CONFIGURATION: WatchSet = WatchSet(Self::IPAddressPool.bit() | Self::L2Advertisement.bit());

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The watches whose first list is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WatchSet(u8);

impl WatchSet {
    pub(super) const fn insert(&mut self, watch: WatchKind) {
        self.0 |= watch.bit();
    }

    pub(super) const fn remove(&mut self, watch: WatchKind) {
        self.0 &= !watch.bit();
    }

    /// Whether every watch is complete.
    pub(super) const fn is_complete(self) -> bool {
        self.contains_all(WatchKind::ALL)
    }

    /// Whether pools and advertisements are complete.
    pub(super) const fn has_configuration(self) -> bool {
        self.contains_all(WatchKind::CONFIGURATION)
    }

    const fn contains_all(self, watches: Self) -> bool {
        self.0 & watches.0 == watches.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_of_watches_is_complete_with_all_four() {
        let mut set = WatchSet::default();
        set.insert(WatchKind::IPAddressPool);
        assert!(!set.has_configuration());
        set.insert(WatchKind::L2Advertisement);
        assert!(set.has_configuration() && !set.is_complete());
        set.insert(WatchKind::Service);
        set.insert(WatchKind::Namespace);
        assert!(set.is_complete());
        set.remove(WatchKind::Service);
        assert!(set.has_configuration() && !set.is_complete());
    }
}
