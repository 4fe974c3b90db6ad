//! What a command prints: text for people or JSON for programs, and exit codes that mean something.

use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;
use std::{
    io::{ErrorKind, Write as _},
    process::ExitCode,
};

/// How this run reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) json: bool,
}

/// A failure whose exit code is not 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    NotReady(String),
    #[error("{0}")]
    Missing(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::NotReady(_) => 3,
            Self::Missing(_) => 69,
        }
    }
}

impl Report {
    /// Prints `value` as JSON, or `text` of it.
    pub(crate) fn show<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(value)? } else { text(value).trim_end().to_owned() };
        match writeln!(std::io::stdout().lock(), "{text}") {
            // Whoever reads has read enough, as `head` does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => Ok(result?),
        }
    }

    /// Prints why a command failed, and gives the exit code for it.
    pub(crate) fn failure(self, error: &anyhow::Error) -> ExitCode {
        let code = error.downcast_ref::<Failure>().map_or(1, Failure::code);
        if self.json {
            eprintln!("{}", serde_json::json!({"error": format!("{error:#}"), "exit_code": code}));
        } else {
            eprintln!("error: {error:#}");
        }
        ExitCode::from(code)
    }
}

/// A plain table.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.to_string()
}

/// A point in time as people read it, in UTC.
pub(crate) fn time(at: shared::time::Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |it| it.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// What people sent must not speak to the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}
