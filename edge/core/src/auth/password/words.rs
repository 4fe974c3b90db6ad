//! What people choose: frequent passwords, and paths on the keyboard.

use std::{collections::HashMap, sync::LazyLock};

/// The 3,000 most frequent passwords, most frequent first, and after them those of the 30,000 most frequent that are long
/// enough to be accepted here. Source: the list of zxcvbn 3.1 (MIT licence; Daniel Ryan Lowe Wheeler's, from leaks of
/// 2009 to 2013 that Mark Burnett put together).
pub(super) const LIST: &str = include_str!("frequent.txt");

/// Each of them with its rank, from 1.
pub(super) static FREQUENT: LazyLock<HashMap<&str, u32>> = LazyLock::new(|| LIST.lines().zip(1..).collect());

/// Rows and columns of keyboards, and ways along both.
pub(super) const KEYBOARD: &[&str] = &[
    "1234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1qazxsw23edcvfr45tgbnhy67ujm",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "1qa2ws3ed4rf5tg6yh7uj8ik9ol",
    "qazwsxedcrfvtgbyhnujmikolp",
    "!@#$%^&*()",
];
