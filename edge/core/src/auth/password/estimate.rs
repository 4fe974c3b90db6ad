//! How many guesses a password costs someone who tries what people choose first.
//!
//! After zxcvbn (Wheeler, 2016), without its dictionaries of English and of names, which are most of its size: the password
//! is cut into pieces that an attacker would try as one (a frequent password, a word that belongs to the account, a run
//! on the keyboard, a repeat, a date) and single characters, in the way that makes it the cheapest.

use super::words::{FREQUENT, KEYBOARD};
use std::{ops::Range, sync::LazyLock};

/// What the most telling piece of a password is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weakness {
    /// One of the passwords that most people choose.
    Frequent,
    /// The service's name, the person's name or address.
    Personal,
    /// A run in the alphabet, in the numbers, or on the keyboard.
    Sequence,
    Repeat,
    Date,
}

/// What a password costs to guess.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    /// The logarithm, to the base of ten, of the guesses.
    pub(super) guesses_log10: f64,
    /// The longest piece that is no single character.
    pub(super) weakness: Option<Weakness>,
}

/// Beyond so many characters nothing more is looked at: a password whose beginning is good is good.
const LOOKED_AT: usize = 128;
/// The longest of the frequent passwords, and the longest block of a repeat that is looked for.
const LONGEST_WORD: usize = 20;
const LONGEST_BLOCK: usize = 32;
/// What a character costs that belongs to no piece, what any piece costs at least, and what its place among others adds.
const CHARACTER: f64 = 1.0;
const PIECE: f64 = 1.7;
const PLACE: f64 = 0.3;

/// A piece, and what it costs.
#[derive(Clone, Debug)]
struct Piece {
    at: Range<usize>,
    cost: f64,
    weakness: Weakness,
}

/// What `password` costs whoever knows the `personal` words, which are in lower case.
pub(super) fn estimate(password: &str, personal: &[String]) -> Estimate {
    let text: Vec<char> = password.chars().take(LOOKED_AT).collect();
    let mut pieces = pieces(&text, personal);
    pieces.extend(repeats(&text, personal));
    cheapest(text.len(), &pieces)
}

/// The cheapest way to put `length` characters together from pieces and single characters.
fn cheapest(length: usize, pieces: &[Piece]) -> Estimate {
    let mut best: Vec<(f64, Option<&Piece>)> = vec![(0.0, None)];
    for end in 1..=length {
        let alone = (best[end - 1].0 + CHARACTER, None);
        let ending = pieces.iter().filter(|piece| piece.at.end == end);
        let by_piece = ending.map(|piece| (best[piece.at.start].0 + piece.cost.max(PIECE) + PLACE, Some(piece)));
        best.push(by_piece.fold(alone, |best, other| if other.0 < best.0 { other } else { best }));
    }
    let mut longest: Option<&Piece> = None;
    let mut end = length;
    while end > 0 {
        let piece = best[end].1;
        if let Some(piece) = piece.filter(|it| longest.is_none_or(|longest| it.at.len() > longest.at.len())) {
            longest = Some(piece);
        }
        end = piece.map_or(end - 1, |it| it.at.start);
    }
    Estimate { guesses_log10: best[length].0, weakness: longest.map(|it| it.weakness) }
}

/// Every piece but repeats.
fn pieces(text: &[char], personal: &[String]) -> Vec<Piece> {
    let lower: Vec<char> = text.iter().map(|it| it.to_lowercase().next().unwrap_or(*it)).collect();
    [words(text, &lower, personal), runs(&lower), keyboard(&lower), dates(&lower)].concat()
}

/// Frequent passwords and personal words: as they are, in capitals, backwards, or with digits and signs for letters.
fn words(text: &[char], lower: &[char], personal: &[String]) -> Vec<Piece> {
    let mut spellings = vec![(lower.to_vec(), 0.0)];
    for one in ['i', 'l'] {
        let spelling = unmasked(lower, one);
        if spellings.iter().all(|(known, _)| *known != spelling) {
            spellings.push((spelling, 0.5));
        }
    }
    let capitals = |at: &Range<usize>| if text[at.clone()] == lower[at.clone()] { 0.0 } else { 0.3 };
    let mut pieces = Vec::new();
    for (spelling, masked) in &spellings {
        for (at, rank_log10) in frequent(spelling) {
            let cost = rank_log10 + capitals(&at) + masked;
            pieces.push(Piece { at, cost, weakness: Weakness::Frequent });
        }
        for at in found(spelling, personal) {
            pieces.push(Piece { cost: capitals(&at) + masked, at, weakness: Weakness::Personal });
        }
    }
    pieces
}

/// Where `spelling` holds a frequent password, or one backwards, with the logarithm of its rank.
fn frequent(spelling: &[char]) -> Vec<(Range<usize>, f64)> {
    let mut found = Vec::new();
    let mut word = String::new();
    for start in 0..spelling.len() {
        for end in start + 3..=spelling.len().min(start + LONGEST_WORD) {
            let mut look_up = |letters: &mut dyn Iterator<Item = &char>| {
                word.clear();
                word.extend(letters);
                FREQUENT.get(word.as_str()).map(|rank| f64::from(*rank).log10())
            };
            let forwards = look_up(&mut spelling[start..end].iter());
            let backwards = look_up(&mut spelling[start..end].iter().rev()).map(|it| it + 0.3);
            found.extend(forwards.or(backwards).map(|rank_log10| (start..end, rank_log10)));
        }
    }
    found
}

/// Where `spelling` holds a personal word, or one backwards.
fn found(spelling: &[char], personal: &[String]) -> Vec<Range<usize>> {
    let both = personal.iter().flat_map(|it| [it.chars().collect::<Vec<_>>(), it.chars().rev().collect()]);
    let places = |word: Vec<char>| {
        let starts = spelling.windows(word.len()).enumerate().filter(|(_, here)| *here == word).map(|(at, _)| at);
        starts.map(|at| at..at + word.len()).collect::<Vec<_>>()
    };
    both.flat_map(places).collect()
}

/// The letters that digits and signs stand for in words.
fn unmasked(lower: &[char], one: char) -> Vec<char> {
    let letter = |it: &char| match it {
        '4' | '@' => 'a',
        '3' => 'e',
        '0' => 'o',
        '5' | '$' => 's',
        '7' | '+' => 't',
        '1' | '!' => one,
        other => *other,
    };
    lower.iter().map(letter).collect()
}

/// `abcdef`, `98765`: each character next to the one before.
fn runs(lower: &[char]) -> Vec<Piece> {
    let step = |at: usize| i64::from(u32::from(lower[at])) - i64::from(u32::from(lower[at - 1]));
    let mut pieces = Vec::new();
    let mut start = 0;
    while start + 1 < lower.len() {
        let by = step(start + 1);
        let end = (start + 2..lower.len()).find(|at| step(*at) != by).unwrap_or(lower.len());
        if by.abs() == 1 && end - start >= 3 {
            pieces.push(Piece { at: start..end, cost: length_log10(26 * (end - start)), weakness: Weakness::Sequence });
        }
        start = end - 1;
    }
    pieces
}

/// `qwertz`, `1qaz2wsx`: where fingers wander.
fn keyboard(lower: &[char]) -> Vec<Piece> {
    static PATHS: LazyLock<Vec<Vec<char>>> = LazyLock::new(|| {
        let both = |path: &&str| [path.chars().collect(), path.chars().rev().collect()];
        KEYBOARD.iter().flat_map(both).collect()
    });
    let mut pieces = Vec::new();
    for start in 0..lower.len() {
        let longest = PATHS.iter().flat_map(|path| path.iter().enumerate().map(move |(from, _)| &path[from..]));
        let longest = longest.map(|path| path.iter().zip(&lower[start..]).take_while(|(a, b)| a == b).count()).max();
        if let Some(length) = longest.filter(|it| *it >= 4) {
            let cost = length_log10(100 * length);
            pieces.push(Piece { at: start..start + length, cost, weakness: Weakness::Sequence });
        }
    }
    pieces
}

/// A year of these times, or a day in eight digits.
fn dates(lower: &[char]) -> Vec<Piece> {
    let number = |at: Range<usize>| lower.get(at)?.iter().collect::<String>().parse::<u32>().ok();
    let year = |at: usize| number(at..at + 4).is_some_and(|it| (1900..2050).contains(&it));
    let month_and_day = |at: usize| {
        let (one, two) = (number(at..at + 2).unwrap_or(0), number(at + 2..at + 4).unwrap_or(0));
        (1..=31).contains(&one) && (1..=31).contains(&two) && one.min(two) <= 12
    };
    let mut pieces = Vec::new();
    for start in 0..lower.len() {
        if year(start) {
            pieces.push(Piece { at: start..start + 4, cost: length_log10(150), weakness: Weakness::Date });
        }
        let day = (year(start) && month_and_day(start + 4)) || (month_and_day(start) && year(start + 4));
        if day {
            pieces.push(Piece { at: start..start + 8, cost: length_log10(365 * 150), weakness: Weakness::Date });
        }
    }
    pieces
}

/// Blocks that come twice or more in a row: a repeat costs what its block does, and little more.
fn repeats(text: &[char], personal: &[String]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for block in 1..=LONGEST_BLOCK.min(text.len() / 2) {
        let mut start = 0;
        while start + 2 * block <= text.len() {
            let same = (start + block..text.len()).take_while(|at| text[*at] == text[at - block]).count();
            let times = same / block + 1;
            // One letter twice is how words are spelled.
            if times >= 2 && (block > 1 || times >= 3) {
                let inner = &text[start..start + block];
                let cost = cheapest(block, &self::pieces(inner, personal)).guesses_log10 + length_log10(times);
                pieces.push(Piece { at: start..start + block * times, cost, weakness: Weakness::Repeat });
            }
            // What begins within the repeat is the same repeat.
            start += same + 1;
        }
    }
    pieces
}

fn length_log10(number: usize) -> f64 {
    u32::try_from(number).map_or(10.0, |it| f64::from(it).log10())
}
