//! Key-encryption keys from settings: those that are given, and those that root secrets stand for.

use crate::root::{Root, Roots};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use std::collections::HashSet;

type Key = (String, [u8; super::KEY_BYTES]);

/// Keys as `ENCRYPTION_KEYS` has them, `id:base64` with commas between; none if one is malformed, or an id is there twice.
/// The word `root` alone is the key that the present root secret stands for, so that edges can first learn to read
/// with the keys that follow it.
pub(crate) fn parse(text: &str, roots: &Roots) -> Option<Vec<Key>> {
    let key = |part: &str| if part.trim() == "root" { derived(roots).next() } else { pair(part) };
    let keys: Vec<Key> = text.split(',').map(key).collect::<Option<_>>()?;
    let ids: HashSet<&str> = keys.iter().map(|(id, _)| id.as_str()).collect();
    (ids.len() == keys.len()).then_some(keys)
}

fn pair(text: &str) -> Option<Key> {
    let (id, key) = text.trim().split_once(':')?;
    let plain = (1..=32).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it));
    let key = BASE64.decode(key).ok()?.try_into().ok()?;
    plain.then(|| (id.to_owned(), key))
}

/// A key for each root secret, the present one first. Its id tells the secrets apart, so that values which the previous
/// secret's key wraps open until they are wrapped anew, and values of an edge that has the next secret already open, too.
pub(crate) fn derived(roots: &Roots) -> impl Iterator<Item = Key> {
    let key = |root: &Root| {
        let [a, b, c, d, ..] = root.derive("nest encryption key id v1");
        (format!("root-{:08x}", u32::from_be_bytes([a, b, c, d])), root.derive("nest encryption key v1"))
    };
    roots.all().map(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONES: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn root(text: &str) -> Root {
        Root::new(&text.to_owned().into())
    }

    #[test]
    fn keys_have_an_id_and_32_bytes_and_no_id_is_there_twice() {
        let roots = Roots { current: root("now"), previous: None, next: None };
        let root_id = derived(&roots).next().unwrap().0;
        for (text, ids) in [
            (format!("a:{ONES}"), Some(vec!["a"])),
            (format!("2026-01:{ONES}, old_1.x:{ONES}"), Some(vec!["2026-01", "old_1.x"])),
            (format!("a:{ONES},a:{ONES}"), None),
            (format!("a b:{ONES}"), None),
            (format!(":{ONES}"), None),
            (format!("{}:{ONES}", "a".repeat(33)), None),
            (ONES.to_owned(), None),
            ("a:AQEB".to_owned(), None),
            ("a:not base64".to_owned(), None),
            (format!("a:{ONES},"), None),
            (format!("root, a:{ONES}"), Some(vec![root_id.as_str(), "a"])),
            (format!("a:{ONES},root,root"), None),
        ] {
            let keys = parse(&text, &roots);
            let found = keys.as_ref().map(|it| it.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>());
            assert_eq!(found, ids, "{text}");
        }
    }

    #[test]
    fn each_root_secret_has_a_key_of_its_own_and_the_present_one_is_first() {
        let roots = Roots { current: root("now"), previous: Some(root("before")), next: Some(root("after")) };
        let keys: Vec<Key> = derived(&roots).collect();
        assert_eq!(keys.len(), 3);
        assert_eq!(keys.iter().map(|(id, _)| id).collect::<HashSet<_>>().len(), 3);
        assert_eq!(keys.iter().map(|(_, key)| key).collect::<HashSet<_>>().len(), 3);
        let alone = Roots { current: root("now"), previous: None, next: None };
        assert_eq!(derived(&alone).collect::<Vec<_>>(), keys[..1]);
    }
}
