//! The last word of a run of the tests: what was not tested, and how it would be. Tests begin in the order of their names.

use crate::engine::{skipped, tell};

#[test]
fn what_was_skipped_is_counted_at_the_end() {
    let mut reasons = skipped();
    let count = reasons.len();
    if count == 0 {
        return;
    }
    reasons.sort();
    reasons.dedup();
    tell(&format!(
        "\n{count} times a test was skipped, wholly or in part:\n  {}\nbash .ci/run installs on Debian all that they want, and runs everything.\n",
        reasons.join("\n  ")
    ));
}
