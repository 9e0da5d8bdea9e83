//! Lists of CPUs or memory nodes: `0-3,7`.

/// The list as a bit mask, lowest number first, in whole words of 8 bytes; empty for an empty list. Blanks and empty
/// elements are allowed, as in the kernel's own files and in other runtimes.
///
/// # Errors
/// Why it is no such list, in words that follow the list.
pub(crate) fn mask(list: &str, last: usize) -> Result<Vec<u8>, String> {
    let mut mask = Vec::new();
    let mut elements = list.split(',').map(str::trim).filter(|element| !element.is_empty()).peekable();
    if elements.peek().is_none() && !list.is_empty() {
        return Err("names no number".to_owned());
    }
    for element in elements {
        let number = |text: &str| {
            let digits = text.trim();
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse().unwrap_or(usize::MAX))
        };
        let (first, end) = element.split_once('-').unwrap_or((element, element));
        let (Some(first), Some(end)) = (number(first), number(end)) else {
            return Err(format!("is no list such as 0-3,7: {element:?}"));
        };
        if first > end {
            return Err(format!("has a range that goes backwards: {element:?}"));
        }
        if end > last {
            return Err(format!("goes beyond {last}, the last that Linux can have: {element:?}"));
        }
        let length = (end / 64 + 1) * 8;
        if mask.len() < length {
            mask.resize(length, 0);
        }
        for at in first..=end {
            mask[at / 8] |= 1 << (at % 8);
        }
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn lists_become_masks_of_whole_words() {
        for (list, expected) in [
            ("", vec![]),
            ("0", vec![1, 0, 0, 0, 0, 0, 0, 0]),
            ("0-3, 7,", vec![0x8f, 0, 0, 0, 0, 0, 0, 0]),
            ("9,64", vec![0, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(mask(list, 1023), Ok(expected), "{list:?}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for (list, words) in [
            ("a", "is no list such as 0-3,7: \"a\""),
            ("0-", "is no list such as 0-3,7: \"0-\""),
            ("-1", "is no list such as 0-3,7: \"-1\""),
            ("1-2-3", "is no list such as 0-3,7: \"1-2-3\""),
            ("0,3-1", "has a range that goes backwards: \"3-1\""),
            ("1024", "goes beyond 1023, the last that Linux can have: \"1024\""),
            (
                "99999999999999999999",
                "goes beyond 1023, the last that Linux can have: \"99999999999999999999\"",
            ),
            (" , ", "names no number"),
        ] {
            assert_eq!(mask(list, 1023), Err(words.to_owned()), "{list:?}");
        }
    }
}
