//! What a person should read first: the worst state, then causes of most, then the order of the list.

use crate::model::report::{Entry, Part};
use std::cmp::Reverse;

/// Indices of the entries that count by themselves, worst first; of equals the one with most behind it, and of
/// those the one that stands first in the list.
pub fn worst_first(entries: &[Entry]) -> Vec<usize> {
    let own = (0..entries.len()).filter(|it| entries[*it].part == Part::Own);
    let mut order: Vec<usize> = own.collect();
    order.sort_by_key(|index| {
        let entry = &entries[*index];
        (
            Reverse(entry.state().badness()),
            Reverse(entry.behind.len()),
            *index,
        )
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::sample;
    use proptest::prelude::*;

    #[test]
    fn the_worst_stands_first_and_nothing_is_lost() {
        let report = sample::report();
        assert_eq!(worst_first(&report.entries), [2, 3, 1, 0]);
    }

    proptest! {
        #[test]
        fn the_order_of_the_list_never_changes_what_is_worse(seed in proptest::collection::vec(0usize..4, 1..20)) {
            let sample = sample::report().entries;
            let entries: Vec<Entry> = seed.iter().map(|it| sample[*it].clone()).collect();
            let order = worst_first(&entries);
            let mut all = order.clone();
            all.sort_unstable();
            prop_assert_eq!(all, (0..entries.len()).collect::<Vec<_>>());
            for pair in order.windows(2) {
                let [a, b] = [pair[0], pair[1]];
                let badness = |it: usize| entries[it].state().badness();
                prop_assert!(badness(a) > badness(b) || (badness(a) == badness(b) && a < b));
            }
        }
    }
}
