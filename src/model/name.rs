//! Names of checks: patterns that select them, labels that stand for them in perfdata, the nearest valid word.

/// The perfdata label of a name: every character outside `[A-Za-z0-9_.-]` becomes `_`; where letters
/// were lost, a short stable hash of the name keeps two such names apart.
pub fn label(name: &str) -> String {
    let keeps = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let plain: String = name
        .chars()
        .map(|c| if keeps(c) { c } else { '_' })
        .collect();
    let lost = name.chars().any(|c| c.is_alphanumeric() && !c.is_ascii());
    let empty = !plain.chars().any(|c| c.is_ascii_alphanumeric());
    match lost || (empty && name != "/") {
        true => hashed(&plain, name),
        false => plain,
    }
}

/// A text with a short stable hash of a name after it: tells apart what looks the same.
pub fn hashed(text: &str, name: &str) -> String {
    let hashed = format!("{}_{:06x}", text.trim_matches('_'), hash(name) & 0xff_ffff);
    hashed.trim_start_matches('_').to_owned()
}

/// FNV-1a, 64 bits: small, and the same on every machine and in every version.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Whether a whole name matches a shell pattern of `*`, `?` and `[…]`.
pub fn matches(pattern: &str, name: &str) -> bool {
    glob::Pattern::new(pattern).is_ok_and(|it| it.matches(name))
}

/// Whether a word is a pattern at all.
pub fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

/// The valid word nearest to a wrong one, if any is near enough to be meant: about every third letter may be wrong,
/// left out, too many or in its neighbour's place.
pub fn nearest<'a>(wrong: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let length = wrong.chars().count();
    let mut nearest: Option<(usize, &str)> = None;
    for word in words {
        let longer = length.max(word.chars().count());
        let most = (longer + 1) / 3;
        // What differs by more letters in its length alone need not be compared.
        if longer - length.min(word.chars().count()) > most || longer > LONGEST {
            continue;
        }
        let distance = strsim::osa_distance(&wrong, &word.to_lowercase());
        if distance <= most && nearest.is_none_or(|it| distance < it.0) {
            nearest = Some((distance, word));
        }
    }
    nearest.map(|it| it.1)
}

/// The longest word that is compared; beyond it nobody has mistyped a name.
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_apart() {
        assert_eq!(label("shop front"), "shop_front");
        assert_eq!(label("/var/log"), "_var_log");
        assert_eq!(label("/"), "_");
        assert_ne!(label("古酒"), label("新酒"));
        assert_eq!(label("古酒"), label("古酒"));
        assert!(label("db 古酒").starts_with("db_"));
        for name in ["古酒", "a|b=c'd", "", "  "] {
            assert!(
                label(name)
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
            );
            assert!(!label(name).is_empty());
        }
    }

    #[test]
    fn the_nearest_word_is_one_that_can_be_meant() {
        assert_eq!(nearest("urll", ["url", "host"]), Some("url"));
        assert_eq!(nearest("htpp", ["http", "tcp"]), Some("http"));
        assert_eq!(nearest("xyzzy", ["url", "host"]), None);
        assert_eq!(nearest("timeuot", ["time", "timeout"]), Some("timeout"));
        assert_eq!(nearest("status", ["pause", "list"]), None);
    }

    #[test]
    fn patterns_match_whole_names() {
        assert!(matches("db*", "db1") && !matches("db*", "mydb"));
        assert!(matches("web[12]", "web2") && !matches("web[12]", "web3"));
    }
}
