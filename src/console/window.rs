//! The part of a long line that fits a width, around the place in it that matters.

use std::ops::Range;

/// Which characters of `text` to show in `room` columns, so that the one at `at` (an index, which may be past the end)
/// is among them. Words and numbers are shown whole or not at all, unless the one at `at` alone is wider than `room`.
/// Each side that is cut needs `mark` columns.
pub(crate) fn window(text: &[char], at: usize, room: usize, mark: usize) -> Range<usize> {
    let length = text.len();
    if length <= room {
        return 0..length;
    }
    let at = at.min(length);
    let width = |start: usize, end: usize| {
        end - start + if start > 0 { mark } else { 0 } + if end < length { mark } else { 0 }
    };
    let may_cut = |place: &usize| !is_inside_a_word(text, *place);
    let last_start = (0..=at.min(length - 1)).rev().find(may_cut).unwrap_or_default();
    let first_end = (last_start + 1..=length).find(|end| *end > at.min(length - 1) && may_cut(end));
    let first_end = first_end.unwrap_or(length);
    if width(last_start, first_end) > room {
        let room = room.saturating_sub(2 * mark).max(1);
        let start = at.saturating_sub(room * 2 / 3).max(last_start);
        return start..(start + room).min(first_end).max((at + 1).min(length));
    }
    let before = room * 2 / 3;
    let start = (0..=last_start)
        .filter(may_cut)
        .find(|start| (*start == last_start || at - start <= before) && width(*start, first_end) <= room);
    let start = start.unwrap_or(last_start);
    let end = (first_end..=length).rev().filter(may_cut).find(|end| width(start, *end) <= room);
    let end = end.unwrap_or(first_end);
    // What the end left over goes to the start.
    let start = (0..=start).filter(may_cut).find(|start| width(*start, end) <= room).unwrap_or(start);
    start..end
}

/// Whether a cut before the character at `place` would split a word or a number.
fn is_inside_a_word(text: &[char], place: usize) -> bool {
    let (Some(before), Some(after)) =
        (place.checked_sub(1).and_then(|before| text.get(before)), text.get(place))
    else {
        return false;
    };
    let is_word = |character: &char| character.is_alphanumeric() || matches!(character, '_' | '*');
    let is_digit = |nth: Option<usize>| nth.and_then(|nth| text.get(nth)).is_some_and(char::is_ascii_digit);
    is_word(before) && is_word(after)
        || *after == '.' && before.is_ascii_digit() && is_digit(place.checked_add(1))
        || *before == '.' && after.is_ascii_digit() && is_digit(place.checked_sub(2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str, at: usize, room: usize) -> String {
        let text: Vec<char> = text.chars().collect();
        let part = window(&text, at, room, 1);
        let (start, end) = (part.start > 0, part.end < text.len());
        let middle: String = text[part].iter().collect();
        format!("{}{middle}{}", if start { "…" } else { "" }, if end { "…" } else { "" })
    }

    #[test]
    fn words_and_numbers_are_whole_around_the_place() {
        let line =
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:********@10.0.3.7:27017/circle_ghe'";
        assert_eq!(shown(line, 0, 32), "export …");
        assert_eq!(shown(line, 66, 32), "…://circle:********@10.0.3.7:…");
        assert_eq!(shown(line, 75, 32), "…:********@10.0.3.7:27017/…");
        assert_eq!(shown(line, line.len(), 32), "…@10.0.3.7:27017/circle_ghe'");
        assert_eq!(shown("short", 9, 32), "short");
    }

    #[test]
    fn a_word_wider_than_the_room_is_cut_around_the_place() {
        let line = format!("x={}", "a".repeat(100));
        assert_eq!(shown(&line, 50, 12), "…aaaaaaaaaa…");
    }

    proptest! {
        #[test]
        fn it_fits_shows_the_place_and_cuts_no_word(
            text in "[a-z0-9_]{0,12}([ ,:/@=.'\"][a-z0-9_]{0,12}){0,20}",
            at in 0usize..260,
            room in 14usize..80,
        ) {
            let text: Vec<char> = text.chars().collect();
            let at = at.min(text.len());
            let part = window(&text, at, room, 1);
            let marks = usize::from(part.start > 0) + usize::from(part.end < text.len());
            prop_assert!(part.len() + marks <= room);
            prop_assert!(part.contains(&at) || at == text.len() && part.end == at);
            // No run of letters or digits here is wider than the room, unless dots join digits.
            if !text.contains(&'.') {
                prop_assert!(!is_inside_a_word(&text, part.start) && !is_inside_a_word(&text, part.end));
            }
        }
    }
}
