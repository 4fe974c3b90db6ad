//! How OAuth's requests are written: forms, credentials and scopes.

use super::error::OauthError;
use secrecy::{ExposeSecret as _, SecretString};
use shared::permission::Permissions;
use std::collections::BTreeMap;

/// The parameters of a form. One without a value counts as left out, and none may come twice (RFC 6749, section 3.2).
pub(super) fn parameters(body: &str) -> Result<BTreeMap<String, String>, OauthError> {
    let mut parameters = BTreeMap::new();
    for pair in body.split('&').filter(|it| !it.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
            return Err(OauthError::InvalidRequest("the form is not encoded as forms are"));
        };
        if parameters.insert(name, value).is_some() {
            return Err(OauthError::InvalidRequest("a parameter came twice"));
        }
    }
    parameters.retain(|_, value| !value.is_empty());
    Ok(parameters)
}

/// A part of a form without its encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(plain).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|it| it.try_into().ok())
}

/// What a client presents. A public client has no secret.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) client_id: String,
    pub(super) secret: Option<SecretString>,
}

/// A client's credentials, which come in one place alone (RFC 6749, section 2.3): the header, or the form.
pub(super) fn credentials(
    headers: &[&str],
    id: Option<String>,
    secret: Option<SecretString>,
) -> Result<Credentials, OauthError> {
    let present = |it: SecretString| Some(it).filter(|it| !it.expose_secret().is_empty());
    let header = match headers {
        [] => {
            let client_id = id.ok_or(OauthError::InvalidClient)?;
            return Ok(Credentials { client_id, secret: secret.and_then(present) });
        }
        [header] => header,
        _ => return Err(OauthError::InvalidRequest("there are several Authorization headers")),
    };
    let (client_id, in_header) = basic(header).ok_or(OauthError::InvalidClient)?;
    if secret.is_some() || id.is_some_and(|it| it != client_id) {
        return Err(OauthError::InvalidRequest("the client presents itself in two ways"));
    }
    Ok(Credentials { client_id, secret: present(in_header) })
}

/// The two halves of an `Authorization: Basic` header; each is form-encoded within (RFC 6749, section 2.3.1).
fn basic(header: &str) -> Option<(String, SecretString)> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((decoded(id)?, decoded(secret)?.into()))
}

/// What of `allowed` a request for `asked` is granted: all of it unless something is asked, and nothing beyond it.
pub(super) fn granted(asked: Option<&str>, allowed: Permissions) -> Option<Permissions> {
    let granted = asked.map_or(Some(allowed), |it| it.parse().ok())?;
    (granted != Permissions::NONE && allowed.covers(granted)).then_some(granted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::permission::Permission::{KeysRead, ModelsUse, OrgRead};

    #[test]
    fn a_form_is_read_strictly() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        for (body, expected) in [
            ("", Some(map(&[]))),
            ("a=1&b=2", Some(map(&[("a", "1"), ("b", "2")]))),
            ("a=%C3%A4+b%2Bc%3D&", Some(map(&[("a", "ä b+c=")]))),
            ("a=1=2", Some(map(&[("a", "1=2")]))),
            // Without a value a parameter counts as left out.
            ("a=&b&c=3", Some(map(&[("c", "3")]))),
            ("a=1&a=1", None),
            ("a=1&%61=2", None),
            ("a=&a=2", None),
            ("a=%", None),
            ("a=%4", None),
            ("a=%+1", None),
            ("a=%zz", None),
            ("a=%FF", None),
            ("%C0%80=1", None),
        ] {
            assert_eq!(parameters(body).ok(), expected, "{body:?}");
        }
    }

    /// Checklist 37.
    #[test]
    fn credentials_come_in_one_place_and_are_decoded_there() {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let header = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let read = |headers: &[&str], id: Option<&str>, secret: Option<&str>| {
            let found = credentials(headers, id.map(str::to_owned), secret.map(SecretString::from));
            found
                .map(|it| (it.client_id, it.secret.map(|it| it.expose_secret().to_owned())))
                .map_err(|it| it.code().to_owned())
        };
        let found = |id: &str, secret: Option<&str>| Ok((id.to_owned(), secret.map(str::to_owned)));
        for (headers, id, secret, expected) in [
            (vec![header("a:b")], None, None, found("a", Some("b"))),
            (vec![header("a%3Ab:c%20d+e")], None, None, found("a:b", Some("c d e"))),
            (vec![header("a:b").replace("Basic", "bASIC")], Some("a"), None, found("a", Some("b"))),
            (vec![header("nest:")], None, None, found("nest", None)),
            (vec![], Some("a"), Some("b"), found("a", Some("b"))),
            (vec![], Some("nest"), None, found("nest", None)),
            (vec![], None, Some("b"), Err("invalid_client")),
            (vec![], None, None, Err("invalid_client")),
            (vec![header("a:b")], Some("c"), None, Err("invalid_request")),
            (vec![header("a:b")], None, Some("b"), Err("invalid_request")),
            (vec![header("a:b"), header("a:b")], None, None, Err("invalid_request")),
            (vec![header("ab")], None, None, Err("invalid_client")),
            (vec![header("a:%zz")], None, None, Err("invalid_client")),
            (vec!["Basic".to_owned()], None, None, Err("invalid_client")),
            (vec!["Basic !".to_owned()], None, None, Err("invalid_client")),
            (vec!["Bearer abc".to_owned()], Some("a"), None, Err("invalid_client")),
        ] {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let expected = expected.map_err(str::to_owned);
            assert_eq!(read(&headers, id, secret), expected, "{headers:?} {id:?} {secret:?}");
        }
    }

    #[test]
    fn nothing_is_granted_beyond_what_is_allowed() {
        let allowed = Permissions::of(&[KeysRead, OrgRead]);
        for (asked, expected) in [
            (None, Some(allowed)),
            (Some("keys:read"), Some(Permissions::of(&[KeysRead]))),
            (Some("org:read keys:read"), Some(allowed)),
            (Some("models:use"), None),
            (Some("keys:read models:use"), None),
            (Some("keys:fly"), None),
            (Some("all"), None),
            (Some(" "), None),
        ] {
            assert_eq!(granted(asked, allowed), expected, "{asked:?}");
        }
        assert_eq!(granted(None, Permissions::NONE), None);
        assert!(granted(None, Permissions::of(&[ModelsUse])).is_some());
    }
}
