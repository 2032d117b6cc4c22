//! Names that are unlike all others (RFC 9562).

/// Sixteen bytes as a UUID of version 4, 32 digits without hyphens (section 5.4).
pub fn digits(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

/// The same with hyphens, as it is usually written (section 4).
pub fn hyphenated(bytes: [u8; 16]) -> String {
    let hex = digits(bytes);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_variant_are_those_of_random_names() {
        assert_eq!(digits([0xff; 16]), "ffffffffffff4fffbfffffffffffffff");
        assert_eq!(hyphenated([0; 16]), "00000000-0000-4000-8000-000000000000");
    }
}
