//! What a browser does on its way through a server's pages: keeps cookies, follows redirects, sends forms.

use crate::{Answer, edge::client};
use reqwest::{Client, RequestBuilder, Url, header};
use std::collections::BTreeMap;

/// A browser that visits one server.
pub struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

/// Where a visit ends: on a page, or on the way to another server.
#[derive(Debug)]
pub enum Visit {
    Page(Url, Answer),
    Away(Url),
}

impl Browser {
    pub fn new() -> Self {
        Self { client: client(), cookies: BTreeMap::new() }
    }

    /// Opens `url`, and follows where it is sent.
    pub async fn open(&mut self, url: Url) -> Visit {
        self.follow(self.client.get(url.clone()), url).await
    }

    /// Sends a form to `url`, and follows where it is sent.
    pub async fn submit(&mut self, url: Url, fields: &[(&str, &str)]) -> Visit {
        let request = self.client.post(url.clone()).body(form(fields));
        self.follow(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded"), url).await
    }

    async fn follow(&mut self, first: RequestBuilder, start: Url) -> Visit {
        let (mut request, mut url) = (first, start);
        // More than any log-in takes.
        for _ in 0..10 {
            let answer = self.send(request).await;
            if !answer.status.is_redirection() {
                return Visit::Page(url, answer);
            }
            let next = url.join(answer.header("location")).unwrap();
            if next.origin() != url.origin() {
                return Visit::Away(next);
            }
            request = self.client.get(next.clone());
            url = next;
        }
        panic!("{url} is sent on and on");
    }

    /// Cookies are told apart by their names alone, which is enough for one server.
    async fn send(&mut self, request: RequestBuilder) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = Answer::read(request.header(header::COOKIE, cookies.join("; ")).send().await.unwrap()).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            match rest.split(';').next().unwrap() {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

impl Visit {
    /// Where the browser is sent; fails on a page.
    pub fn away(self) -> Url {
        match self {
            Self::Away(url) => url,
            Self::Page(url, page) => panic!("{url} answers {}: {}", page.status, page.text()),
        }
    }
}

/// Fields as a form sends them.
pub fn form(fields: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params("http://localhost", fields).unwrap();
    url.query().unwrap_or_default().to_owned()
}

/// The value of a parameter in a URL's query.
pub fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
