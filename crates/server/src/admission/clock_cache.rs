//! A bounded map with second-chance eviction: an entry that was read since the hand last passed it stays.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

#[derive(Debug)]
pub(super) struct ClockCache<K, V> {
    entries: HashMap<K, Entry<V>>,
    hand: VecDeque<K>,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    read: bool,
}

impl<K: Clone + Eq + Hash, V> ClockCache<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::new(),
            hand: VecDeque::new(),
            capacity,
        }
    }

    pub(super) fn read(&mut self, key: &K) -> Option<&V> {
        let entry = self.entries.get_mut(key)?;
        entry.read = true;
        Some(&entry.value)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.value = value;
            return;
        }
        while self.entries.len() >= self.capacity {
            let Some(oldest) = self.hand.pop_front() else {
                return;
            };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.read => {
                    entry.read = false;
                    self.hand.push_back(oldest);
                }
                _ => {
                    self.entries.remove(&oldest);
                }
            }
        }
        self.hand.push_back(key.clone());
        self.entries.insert(key, Entry { value, read: false });
    }

    /// Drops what `keep` does not want. Looks at every entry.
    pub(super) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        let before = self.entries.len();
        self.entries.retain(|key, _| keep(key));
        if self.entries.len() < before {
            self.hand.retain(|key| keep(key));
        }
    }

    pub(super) fn remove(&mut self, key: &K) {
        if self.entries.remove(key).is_some() {
            self.hand.retain(|other| other != key);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_holds_more_than_its_capacity_and_keeps_what_is_read() {
        let mut cache = ClockCache::new(4);
        cache.insert(0, "kept");
        for key in 1..100 {
            assert_eq!(cache.read(&0), Some(&"kept"));
            cache.insert(key, "passing");
            assert!(cache.len() <= 4);
        }
        assert_eq!(cache.read(&50), None);
        assert_eq!(cache.read(&99), Some(&"passing"));
    }

    #[test]
    fn removed_entries_leave_room_and_no_trace() {
        let mut cache = ClockCache::new(4);
        for key in 0..4 {
            cache.insert(key, key);
        }
        cache.retain(|key| key % 2 == 0);
        cache.remove(&0);
        assert_eq!((cache.len(), cache.hand.len()), (1, 1));
        cache.insert(2, 20);
        assert_eq!(cache.read(&2), Some(&20));
    }
}
