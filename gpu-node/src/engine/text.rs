//! From tokens to text that may be shown: whole characters only, and nothing of a stop text.

use tokenizers::Tokenizer;

/// The bytes of every token of a byte-level vocabulary.
pub struct TokenBytes(Vec<Box<[u8]>>);

/// Gathers bytes until they are whole characters.
#[derive(Default)]
pub(super) struct Utf8Stream {
    pending: Vec<u8>,
}

/// Lets text through up to the first stop text.
pub(super) struct StopScanner {
    stops: Vec<String>,
    /// Text that may turn out to begin a stop text.
    held: String,
}

/// What a [`StopScanner`] says to a piece of text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// What may be shown now.
    pub(super) text: String,
    /// Whether a stop text was met: nothing may follow.
    pub(super) stopped: bool,
}

impl TokenBytes {
    /// Reads the vocabulary of `tokenizer`, which must be byte-level BPE. Special tokens have no bytes.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        let specials = tokenizer.get_added_tokens_decoder();
        let bytes = (0..tokenizer.get_vocab_size(true) as u32).map(|id| {
            if specials.get(&id).is_some_and(|it| it.special) {
                return Box::default();
            }
            tokenizer.id_to_token(id).unwrap_or_default().chars().filter_map(byte_of).collect()
        });
        Self(bytes.collect())
    }

    /// The bytes of a token; none if it is special or unknown.
    pub fn of(&self, token: u32) -> &[u8] {
        self.0.get(token as usize).map_or(&[], |it| it)
    }
}

/// The byte that a character of a byte-level vocabulary stands for.
///
/// GPT-2 writes printable bytes as themselves and moves the others, in order, to U+0100 and up.
fn byte_of(character: char) -> Option<u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    match u32::from(character) {
        code @ 0..=0xFF => u8::try_from(code).ok().filter(|byte| printable(*byte)),
        code => (0..=u8::MAX).filter(|byte| !printable(*byte)).nth((code - 0x100) as usize),
    }
}

impl Utf8Stream {
    /// Takes more bytes; gives the characters that are whole now. Bytes that can't be UTF-8 become U+FFFD.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let whole = match self.pending.utf8_chunks().last() {
            Some(last) if is_cut(last.invalid()) => self.pending.len() - last.invalid().len(),
            _ => self.pending.len(),
        };
        let rest = self.pending.split_off(whole);
        String::from_utf8_lossy(&std::mem::replace(&mut self.pending, rest)).into_owned()
    }

    /// What is left at the end: a character that never became whole.
    pub(super) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// Whether more bytes could make `bytes` a character, rather than it being wrong already.
fn is_cut(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|it| it.error_len().is_none())
}

impl StopScanner {
    /// Looks for `stops`; empty ones are never met.
    pub(super) fn new(mut stops: Vec<String>) -> Self {
        stops.retain(|it| !it.is_empty());
        Self { stops, held: String::new() }
    }

    /// Takes the next piece of the answer.
    pub(super) fn push(&mut self, piece: &str) -> Scanned {
        self.held.push_str(piece);
        // The first stop text to be complete ends the answer; of those that end together the longest is cut off.
        let met = self.stops.iter().filter_map(|stop| self.held.find(stop).map(|start| (start + stop.len(), start)));
        if let Some((_, start)) = met.min() {
            self.held.truncate(start);
            return Scanned { text: std::mem::take(&mut self.held), stopped: true };
        }
        let may_begin_a_stop = |at: &usize| {
            let tail = &self.held[*at..];
            self.stops.iter().any(|stop| stop.starts_with(tail))
        };
        let starts = self.held.char_indices().map(|(at, _)| at);
        let shown = starts.clone().find(may_begin_a_stop).unwrap_or(self.held.len());
        let rest = self.held.split_off(shown);
        Scanned { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// What was held back when the answer ended without a stop text.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_has_one_character() {
        let mut characters: Vec<char> =
            (0..0x200).filter_map(char::from_u32).filter(|it| byte_of(*it).is_some()).collect();
        characters.sort_by_key(|it| byte_of(*it));
        let bytes: Vec<u8> = characters.iter().filter_map(|it| byte_of(*it)).collect();
        assert_eq!(bytes, (0..=u8::MAX).collect::<Vec<_>>());
        assert_eq!((byte_of('Ġ'), byte_of('Ċ'), byte_of('a')), (Some(b' '), Some(b'\n'), Some(b'a')));
    }

    /// The text up to the stop that is complete first.
    fn truncated<'a>(text: &'a str, stops: &[String]) -> &'a str {
        let met =
            stops.iter().filter(|it| !it.is_empty()).filter_map(|stop| text.find(stop).map(|at| (at + stop.len(), at)));
        met.min().map_or(text, |(_, start)| &text[..start])
    }

    fn scan(pieces: &[&str], stops: &[String]) -> (String, bool) {
        let mut scanner = StopScanner::new(stops.to_vec());
        let mut shown = String::new();
        for piece in pieces {
            let Scanned { text, stopped } = scanner.push(piece);
            shown.push_str(&text);
            if stopped {
                return (shown, true);
            }
        }
        (shown + &scanner.finish(), false)
    }

    #[test]
    fn a_stop_text_may_be_cut_anywhere() {
        for (pieces, stops, expected) in [
            (vec!["one\ntw", "o\n", "\nthree"], vec!["\n\n"], ("one\ntwo", true)),
            (vec!["a", "b", "c", "d"], vec!["abcx", "cd"], ("ab", true)),
            (vec!["aab"], vec!["ab"], ("a", true)),
            (vec!["aa", "ab"], vec!["aab"], ("a", true)),
            (vec!["half </s"], vec!["</s>"], ("half </s", false)),
            (vec!["x"], vec![""], ("x", false)),
        ] {
            let stops: Vec<String> = stops.into_iter().map(str::to_owned).collect();
            assert_eq!(scan(&pieces, &stops), (expected.0.to_owned(), expected.1), "{pieces:?} {stops:?}");
        }
    }

    /// Cuts `text` into pieces of `sizes` characters.
    fn pieces(text: &str, sizes: &[usize]) -> Vec<String> {
        let characters: Vec<char> = text.chars().collect();
        let (mut rest, mut sizes, mut pieces) = (&characters[..], sizes.iter().cycle(), Vec::new());
        while !rest.is_empty() {
            let (head, tail) = rest.split_at((*sizes.next().unwrap_or(&1)).min(rest.len()));
            pieces.push(head.iter().collect());
            rest = tail;
        }
        pieces
    }

    proptest! {
        // Few letters, so that stops are met and nearly met often; one of two bytes, so that cuts are not all ASCII.
        #[test]
        fn shown_text_is_the_truncated_text(
            text in "[abé]{0,40}",
            stops in prop::collection::vec("[abé]{1,4}", 0..4),
            sizes in prop::collection::vec(1_usize..2, 1..9),
        ) {
            let pieces = pieces(&text, &sizes);
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let (shown, _) = scan(&pieces, &stops);
            prop_assert_eq!(&shown, truncated(&text, &stops));
            prop_assert!(stops.iter().all(|stop| !shown.contains(stop)));
        }

        #[test]
        fn shown_text_never_holds_a_stop_however_it_is_cut(
            text in "[abé]{0,40}",
            stops in prop::collection::vec("[abé]{1,4}", 1..4),
            sizes in prop::collection::vec(1_usize..7, 1..9),
        ) {
            let pieces = pieces(&text, &sizes);
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let (shown, stopped) = scan(&pieces, &stops);
            prop_assert_eq!(stopped, stops.iter().any(|stop| text.contains(stop)));
            prop_assert_eq!(&shown, truncated(&text, &stops));
        }

        #[test]
        fn characters_come_whole_however_the_bytes_are_cut(
            text in "\\PC{0,20}",
            noise in prop::collection::vec(any::<u8>(), 0..6),
            sizes in prop::collection::vec(1_usize..5, 1..9),
        ) {
            let bytes = [text.as_bytes(), &noise, text.as_bytes()].concat();
            let (mut rest, mut sizes, mut stream, mut shown) = (&bytes[..], sizes.iter().cycle(), Utf8Stream::default(), String::new());
            while !rest.is_empty() {
                let (head, tail) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                shown.push_str(&stream.push(head));
                rest = tail;
            }
            shown.push_str(&stream.finish());
            prop_assert_eq!(shown, String::from_utf8_lossy(&bytes));
        }
    }
}
