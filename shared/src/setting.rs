//! Settings: every program declares what it reads from the environment, and reads it once, at start.

use std::{fmt, str::FromStr};

/// One setting, as `.env.example` and `nest config show` present it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Name of the environment variable.
    pub name: &'static str,
    /// Value when it is not set; none when the program derives one or cannot do without.
    pub default: Option<&'static str>,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// What it is for, in one sentence, with its unit.
    pub doc: &'static str,
}

/// Everything that is wrong with the settings, told at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} setting(s) cannot be used:", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// Reads settings one by one and gathers what is wrong with them. No value is ever part of a problem's text.
pub struct Reader<'a> {
    settings: &'static [Setting],
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// What was wrong so far.
    pub problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads `settings` through `lookup`, which gives the value of an environment variable.
    pub fn new(settings: &'static [Setting], lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { settings, lookup, problems: Vec::new() }
    }

    /// The text of a setting or of its default; an empty value counts as none.
    pub fn text(&self, name: &str) -> Option<String> {
        let setting = self.settings.iter().find(|it| it.name == name).expect("every setting that is read is declared");
        (self.lookup)(name).filter(|it| !it.trim().is_empty()).or_else(|| setting.default.map(str::to_owned))
    }

    /// The text of a setting that must be there.
    pub fn required(&mut self, name: &str) -> String {
        self.text(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is missing"));
            String::new()
        })
    }

    /// A setting that parses as `T`, described by `expected` when it does not.
    pub fn parse<T: FromStr + Default>(&mut self, name: &str, expected: &str) -> T {
        let text = self.required(name);
        text.trim().parse().unwrap_or_else(|_| {
            if !text.is_empty() {
                self.problems.push(format!("{name} must be {expected}"));
            }
            T::default()
        })
    }

    /// `value` when nothing was wrong.
    pub fn finish<T>(self, value: T) -> Result<T, Problems> {
        if self.problems.is_empty() { Ok(value) } else { Err(Problems(self.problems)) }
    }
}

/// The lines of `.env.example` for `settings`.
pub fn example(settings: &[Setting]) -> String {
    settings
        .iter()
        .map(|it| {
            format!(
                "# {}\n{}{}={}\n\n",
                it.doc,
                if it.default.is_some() { "" } else { "# " },
                it.name,
                it.default.unwrap_or("")
            )
        })
        .collect()
}
