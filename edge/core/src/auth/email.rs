//! E-mail addresses: what is one, and when two are the same.

use unicode_normalization::UnicodeNormalization as _;

/// RFC 5321's longest path, less its brackets.
const LONGEST_BYTES: usize = 254;

/// The address in the one form in which it is stored, compared and written to: NFKC and case-folded, with its domain as
/// DNS knows it. None when it is no address. What only looks alike stays apart, as do `ada+x` and `ada`.
pub(crate) fn normalised(text: &str) -> Option<String> {
    // Compatibility characters first: some of them fold into an `@` or a dot.
    let text: String = text.trim_matches(' ').nfkc().flat_map(folded).nfkc().collect();
    let (name, domain) = text.split_once('@')?;
    let address = format!("{name}@{}", in_dns(domain)?);
    looks_like_one(&address).then_some(address)
}

/// Unicode's case folding, where it differs from plain lower case within a language that is written.
fn folded(it: char) -> impl Iterator<Item = char> {
    let (sharp, final_sigma) = (it == 'ß' || it == 'ẞ', it == 'ς');
    let plain = it.to_lowercase().filter(move |_| !sharp && !final_sigma);
    plain.chain(sharp.then_some(['s', 's']).into_iter().flatten()).chain(final_sigma.then_some('σ'))
}

/// A domain in the letters of DNS (UTS 46).
fn in_dns(domain: &str) -> Option<String> {
    if domain.is_empty() || domain.starts_with('.') || domain.ends_with('.') || domain.contains(['%', '@']) {
        return None;
    }
    match url::Host::parse(domain).ok()? {
        url::Host::Domain(domain) => Some(domain),
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => None,
    }
}

/// One `@` with something on both sides and nothing that could end a mail header; the mail itself proves the rest.
fn looks_like_one(text: &str) -> bool {
    let parts: Vec<&str> = text.split('@').collect();
    matches!(parts[..], [name, domain] if !name.is_empty() && !domain.is_empty())
        && text.len() <= LONGEST_BYTES
        && !text.contains(|it: char| {
            it.is_control() || it.is_whitespace() || is_invisible(it) || "<>()[],;:\\\"".contains(it)
        })
}

/// Characters that have no shape of their own and change how others are shown.
fn is_invisible(it: char) -> bool {
    matches!(it, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Checklist 13.
    #[test]
    fn an_address_has_one_form_and_no_header_breaks() {
        for (text, good) in [
            ("ada@example.com", Some("ada@example.com")),
            (" Ada@Example.COM ", Some("ada@example.com")),
            ("ada+x@localhost", Some("ada+x@localhost")),
            ("ａｄａ@example.com", Some("ada@example.com")),
            ("ada@ｅｘａｍｐｌｅ.com", Some("ada@example.com")),
            ("ﬁona@example.com", Some("fiona@example.com")),
            ("Straße@example.com", Some("strasse@example.com")),
            ("ΟΔΟΣ@example.com", Some("οδοσ@example.com")),
            ("ada@bücher.example", Some("ada@xn--bcher-kva.example")),
            ("ada@BÜCHER.example", Some("ada@xn--bcher-kva.example")),
            ("ada@xn--bcher-kva.example", Some("ada@xn--bcher-kva.example")),
            ("e\u{301}ve@example.com", Some("éve@example.com")),
            // Cyrillic а: another address, which stays another.
            ("аda@example.com", Some("аda@example.com")),
            // A dotless i is no i.
            ("ıda@example.com", Some("ıda@example.com")),
            ("ada", None),
            ("@example.com", None),
            ("ada@", None),
            ("a@b@c", None),
            ("a＠b@c", None),
            ("ada@example.com.", None),
            ("ada@.example.com", None),
            ("ada@ex%61mple.com", None),
            ("ada@127.0.0.1", None),
            ("ada@[::1]", None),
            ("ada@exa mple.com", None),
            ("ada@example.com\r\nbcc: x", None),
            ("ada\r\n@example.com", None),
            ("ada@example.com\r\n", None),
            ("ada\0@example.com", None),
            ("ada@example.com\0", None),
            ("a da@example.com", None),
            ("a\u{200b}da@example.com", None),
            ("a\u{202e}da@example.com", None),
            ("<ada@example.com>", None),
        ] {
            assert_eq!(normalised(text).as_deref(), good, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_form_of_a_form_is_itself(text in "\\PC{1,12}@[a-zA-Zäßçñ0-9-]{1,8}(\\.[a-z]{2,3})?") {
            if let Some(form) = normalised(&text) {
                prop_assert_eq!(normalised(&form), Some(form.clone()));
            }
        }
    }
}
