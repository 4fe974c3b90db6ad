//! Just enough of Rust's grammar to search in: comments, strings, and the paths that a file names.

/// Rust source, with every byte in its place, so that offsets are the file's own.
pub(super) struct Source {
    /// Comments and the contents of strings are blank.
    pub(super) code: String,
    /// Only comments are blank.
    pub(super) uncommented: String,
}

/// A path as code names it: `crate::{keys::{Caller, KeyId}}` names two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) line: usize,
    pub(super) segments: Vec<String>,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let (mut code, mut uncommented) = (String::new(), String::new());
        let mut rest = text;
        while !rest.is_empty() {
            let (kind, length) = token(rest);
            let (piece, next) = rest.split_at(length);
            code.push_str(&if kind == Kind::Code { piece.to_owned() } else { blank(piece) });
            uncommented.push_str(&if kind == Kind::Comment { blank(piece) } else { piece.to_owned() });
            rest = next;
        }
        Self { code, uncommented }
    }

    /// Every path in the code that begins with the word `root`.
    pub(super) fn paths(&self, root: &str) -> Vec<Named> {
        let mut paths = Vec::new();
        for (at, _) in self.code.match_indices(root) {
            let (before, after) = (&self.code[..at], &self.code[at + root.len()..]);
            // `$crate` is another crate's, and `super::super` is read from its first word.
            if before.ends_with(|c: char| is_word(c) || c == '$') || before.trim_end().ends_with("::") {
                continue;
            }
            if let Some(rest) = after.trim_start().strip_prefix("::") {
                expand(rest, &[root.to_owned()], line(&self.code, at), &mut paths);
            }
        }
        paths
    }

    /// The lines, counted from 1, on which `word` stands alone in the code.
    pub(super) fn lines_with(&self, word: &str) -> Vec<usize> {
        let alone =
            |at: usize| !self.code[..at].ends_with(is_word) && !self.code[at + word.len()..].starts_with(is_word);
        let found = self.code.match_indices(word).filter(|(at, _)| alone(*at));
        found.map(|(at, _)| line(&self.code, at)).collect()
    }
}

/// The line, counted from 1, of a byte.
pub(super) fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// What comes before the tests at a file's end.
pub(super) fn before_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\n").map_or(text, |at| &text[..=at])
}

/// Reads one use tree or path from `text`, adds what it names, and returns what is left.
fn expand<'a>(text: &'a str, prefix: &[String], line: usize, paths: &mut Vec<Named>) -> &'a str {
    let mut text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        text = group;
        loop {
            text = expand(text, prefix, line, paths).trim_start();
            match text.strip_prefix(',') {
                Some(next) => text = next,
                None => return text.strip_prefix('}').unwrap_or(text),
            }
        }
    }
    let word = text.len() - text.trim_start_matches(is_word).len();
    if word == 0 {
        return text.strip_prefix('*').unwrap_or(text);
    }
    let (word, rest) = text.split_at(word);
    let segments = [prefix, &[word.to_owned()]].concat();
    match rest.trim_start().strip_prefix("::") {
        Some(next) if !next.trim_start().starts_with('<') => expand(next, &segments, line, paths),
        _ => {
            paths.push(Named { line, segments });
            // A renamed import: `as` and its new name.
            match rest.trim_start().strip_prefix("as ") {
                Some(name) => name.trim_start().trim_start_matches(is_word),
                None => rest,
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Text,
    Comment,
}

/// The kind and length of what `text` begins with; `text` is not empty.
fn token(text: &str) -> (Kind, usize) {
    let upto = |end: Option<usize>, more: usize| end.map_or(text.len(), |end| end + more);
    if text.starts_with("//") {
        return (Kind::Comment, upto(text.find('\n'), 0));
    }
    if text.starts_with("/*") {
        return (Kind::Comment, block_comment(text));
    }
    if let Some(hashes) = raw_string(text) {
        let end = format!("\"{}", "#".repeat(hashes));
        let start = hashes + 2;
        return (Kind::Text, upto(text[start..].find(&end), start + end.len()));
    }
    if text.starts_with('"') {
        return (Kind::Text, quoted(text, '"').unwrap_or(text.len()));
    }
    // A quote that closes within a character or an escape is a char; any other begins a lifetime.
    if text.starts_with('\'') {
        let length = quoted(text, '\'').filter(|&length| {
            let inside = &text[1..length - 1];
            inside.starts_with('\\') || inside.chars().count() == 1
        });
        return length.map_or((Kind::Code, 1), |length| (Kind::Text, length));
    }
    // A whole word at once, so that the r of `for"` begins no raw string.
    let word = text.len() - text.trim_start_matches(is_word).len();
    (Kind::Code, if word > 0 { word } else { text.chars().next().map_or(1, char::len_utf8) })
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// How many `#` guard the raw string that `text` begins with.
fn raw_string(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('r')?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// The length of the quoted text, with both quotes.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_told_from_code() {
        let text = "let a = \"crate::x // no\"; // crate::y\nlet b = r#\"a \"q\" b\"#; /* one /* two */ three */ c('\"', '\\'', &'a d)";
        let source = Source::new(text);
        assert_eq!((source.code.len(), source.uncommented.len()), (text.len(), text.len()));
        assert!(!source.code.contains("crate") && source.code.contains("let b") && source.code.contains("&'a d)"));
        assert!(!source.code.contains("three"));
        assert!(source.uncommented.contains("crate::x // no") && source.uncommented.contains("a \"q\" b"));
        assert!(!source.uncommented.contains("crate::y"));
    }

    #[test]
    fn a_use_tree_names_every_path_in_it() {
        let text = "use crate::{\n    Store, keys::{self, Caller as Who, rules::admit},\n    sql::*,\n};\n\
                    fn f() { $crate::no(); crate::limits::take::<u8>(); not_crate::x() }";
        let named = Source::new(text).paths("crate");
        let named: Vec<(usize, String)> = named.iter().map(|path| (path.line, path.segments.join("::"))).collect();
        let expected = [
            (1, "crate::Store"),
            (1, "crate::keys::self"),
            (1, "crate::keys::Caller"),
            (1, "crate::keys::rules::admit"),
            (5, "crate::limits::take"),
        ];
        assert_eq!(named, expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn words_are_found_whole() {
        let source = Source::new("async fn f() {}\n// async\nlet asynchronous = \"async\";\nasync\n");
        assert_eq!(source.lines_with("async"), [1, 4]);
    }
}
