//! What one address may call, by class of routes: the table, as settings spell it, and windows counted here.

use crate::limits::exceeded::Window as Span;
use shared::time::Timestamp;

macro_rules! classes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $shared:literal;)*) => {
        /// Routes that are limited together, by the address that calls.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Class { $($(#[doc = $doc])+ $name,)* }

        impl Class {
            /// Every class.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As settings spell it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether all edges count together. The others are counted in each process or isolate by itself, which
            /// costs a request nothing.
            pub const fn is_shared(self) -> bool {
                match self { $(Self::$name => $shared,)* }
            }
        }
    };
}

classes! {
    /// The public health check.
    Health = "health", false;
    /// Log-in with a password.
    Login = "login", true;
    /// New accounts.
    Signup = "signup", true;
    /// What sends mail to an address that the caller names.
    Mail = "mail", true;
    /// Second factors.
    Mfa = "mfa", true;
    /// OAuth 2.0 and OpenID Connect.
    Oauth = "oauth", true;
    /// What else has to do with sessions and tokens.
    Auth = "auth", true;
    /// GPU nodes.
    Nodes = "nodes", false;
    /// The OpenAI-compatible API.
    Models = "models", false;
    /// Everything else, and what is no route at all.
    Api = "api", false;
}

/// `ADDRESS_LIMITS`, unless it is set. Whole offices may share an address.
pub const DEFAULT: &str = "health=5/m login=60/m@50 signup=60/h@50 mail=60/h@50 mfa=60/m@50 oauth=3000/m@50 auth=600/m@50 nodes=6000/m models=60000/m api=1200/m";

impl Class {
    /// The class of a route that declares none.
    pub(crate) fn of_path(path: &str) -> Self {
        let below =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let found =
            [("/v1", Self::Models), ("/auth/mfa", Self::Mfa), ("/auth/oidc", Self::Oauth), ("/auth", Self::Auth)];
        let found = found.into_iter().chain([("/nodes", Self::Nodes)]).find(|(prefix, _)| below(prefix));
        found.map_or(Self::Api, |(_, class)| class)
    }
}

/// How often an address may call the routes of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(super) limit: u64,
    pub(super) span: Span,
    /// Percent of the limit that each process gives by itself while the shared store is away.
    pub(super) share_percent: u64,
}

/// The rules of all classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressLimits([Rule; Class::ALL.len()]);

const SPANS: [Span; 4] = [
    Span { ms: 1_000, word: "a second" },
    Span { ms: 60_000, word: "a minute" },
    Span { ms: 3_600_000, word: "an hour" },
    Span { ms: 86_400_000, word: "a day" },
];

impl AddressLimits {
    /// Reads `class=count/window[@share]` entries with spaces between them; what is not named keeps its default.
    pub fn parse(text: &str) -> Option<Self> {
        let mut table = [None; Class::ALL.len()];
        for text in [DEFAULT, text] {
            let mut seen = [false; Class::ALL.len()];
            for entry in text.split_whitespace() {
                let (name, rule) = entry.split_once('=')?;
                let class = Class::ALL.iter().copied().find(|it| it.as_str() == name)?;
                if std::mem::replace(&mut seen[class as usize], true) {
                    return None;
                }
                table[class as usize] = Some(Rule::parse(class, rule)?);
            }
        }
        let mut rules = [Rule { limit: 0, span: SPANS[0], share_percent: 0 }; Class::ALL.len()];
        for (place, rule) in rules.iter_mut().zip(table) {
            *place = rule?;
        }
        Some(Self(rules))
    }

    pub(crate) const fn get(&self, class: Class) -> Rule {
        self.0[class as usize]
    }
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self::parse("").expect("the defaults are well-formed")
    }
}

impl Rule {
    fn parse(class: Class, text: &str) -> Option<Self> {
        let (rule, share) = text.split_once('@').map_or((text, None), |(rule, share)| (rule, Some(share)));
        let (limit, span) = rule.split_once('/')?;
        let span = SPANS[["s", "m", "h", "d"].iter().position(|it| *it == span)?];
        let limit = limit.parse().ok().filter(|it| *it <= crate::limits::quota::MOST)?;
        // A share means something only where there is a store to lose.
        let share_percent = match share {
            Some(share) => share.parse().ok().filter(|it| class.is_shared() && *it <= 100)?,
            None => 50,
        };
        Some(Self { limit, span, share_percent })
    }

    /// What one process gives while the shared store is away: rounded down, for these are limits of guessing.
    pub(super) const fn alone(&self) -> u64 {
        (self.limit as u128 * self.share_percent as u128 / 100) as u64
    }
}

/// Calls of one address in the window that ends at `ends_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) ends_at: Timestamp,
    pub(super) count: u64,
}

/// Counts a call at `now`, or says how many milliseconds to wait. A refused call is not counted. Windows are those of
/// the epoch, the same for every address.
pub(super) fn take(window: Option<Window>, limit: u64, span_ms: i64, now: Timestamp) -> Result<Window, i64> {
    let ends_at = Timestamp((now.0.div_euclid(span_ms) + 1) * span_ms);
    let count = window.filter(|it| it.ends_at == ends_at).map_or(0, |it| it.count);
    if count < limit { Ok(Window { ends_at, count: count + 1 }) } else { Err(ends_at.since_ms(now)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_call_of_a_minute_waits_for_the_next() {
        let mut window = None;
        for second in 0..5 {
            window = Some(take(window, 5, 60_000, Timestamp(second * 1_000)).unwrap());
        }
        for (at_ms, verdict) in [
            (5_000, Err(55_000)),
            (59_999, Err(1)),
            (60_000, Ok(Window { ends_at: Timestamp(120_000), count: 1 })),
            (-1, Ok(Window { ends_at: Timestamp(0), count: 1 })),
        ] {
            assert_eq!(take(window, 5, 60_000, Timestamp(at_ms)), verdict, "{at_ms}");
        }
    }

    #[test]
    fn a_table_changes_the_classes_that_it_names() {
        let table = AddressLimits::parse(" health=7/s  login=9/d@0 ").unwrap();
        assert_eq!(table.get(Class::Health), Rule { limit: 7, span: SPANS[0], share_percent: 50 });
        assert_eq!(table.get(Class::Login), Rule { limit: 9, span: SPANS[3], share_percent: 0 });
        assert_eq!(table.get(Class::Api), AddressLimits::default().get(Class::Api));
        for wrong in [
            "health",
            "health=5",
            "health=5/w",
            "health=/m",
            "health=-1/m",
            "health=5/m health=6/m",
            "nothing=5/m",
            "login=5/m@101",
            "login=5/m@",
            "api=5/m@50",
            "login=1000000000001/m",
        ] {
            assert_eq!(AddressLimits::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_share_of_guesses_is_rounded_down() {
        for (text, alone) in [("5/m@50", 2), ("1/m@50", 0), ("60/m@100", 60), ("60/m@0", 0), ("3/m", 1)] {
            assert_eq!(Rule::parse(Class::Login, text).unwrap().alone(), alone, "{text}");
        }
    }

    #[test]
    fn a_route_has_the_class_of_its_path() {
        for (path, class) in [
            ("/v1/chat/completions", Class::Models),
            ("/v10", Class::Api),
            ("/auth/refresh", Class::Auth),
            ("/auth/mfa/verify", Class::Mfa),
            ("/auth/oidc/{provider}", Class::Oauth),
            ("/authors", Class::Api),
            ("/nodes/heartbeat", Class::Nodes),
            ("/orgs", Class::Api),
        ] {
            assert_eq!(Class::of_path(path), class, "{path}");
        }
    }
}
