//! Finds the token count in bytes that pass by, without parsing them.

const USAGE: &[u8] = b"\"usage\":";
const TOTAL: &[u8] = b"\"total_tokens\":";

/// Whether `bytes` may carry a usage object.
pub(crate) fn mentioned(bytes: &[u8]) -> bool {
    find(bytes, USAGE).is_some()
}

/// The last `total_tokens` in `bytes`.
pub(crate) fn total_tokens(bytes: &[u8]) -> Option<u64> {
    let at = bytes.windows(TOTAL.len()).rposition(|window| window == TOTAL)?;
    let number = bytes[at + TOTAL.len()..].trim_ascii_start();
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&number[..digits]).ok()?.parse().ok()
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_total_counts() {
        for (bytes, tokens) in [
            (r#"{"usage":{"prompt_tokens":25,"total_tokens":75}}"#, Some(75)),
            (r#"{"usage":{"total_tokens": 75}}"#, Some(75)),
            (r#"{"total_tokens":1} {"total_tokens":2}"#, Some(2)),
            (r#"{"total_tokens":0}"#, Some(0)), // an explicit zero is not an absence
            (r#"{"total_tokens":null}"#, None),
            (r#"{"usage":null}"#, None),
            (r#""total_tokens":"#, None),
            ("", None),
        ] {
            assert_eq!(total_tokens(bytes.as_bytes()), tokens, "{bytes}");
        }
    }

    #[test]
    fn usage_is_seen_where_it_is() {
        assert!(mentioned(br#"data: {"choices":[],"usage":{"total_tokens":75}}"#));
        assert!(!mentioned(br#"data: {"choices":[{"delta":{"content":"usage"}}]}"#));
        assert!(!mentioned(b""));
    }
}
