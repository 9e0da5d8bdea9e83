//! Names of signals (signal(7)); the numbers are those of x86_64 and aarch64.

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const SYNONYMS: [(&str, i32); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];
/// What the C library leaves to programs: it keeps 32 and 33 for itself.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// The number of a signal given by number or name.
pub fn number_of(word: &str) -> Option<i32> {
    if let Ok(number) = word.parse::<i32>() {
        return (0..=RTMAX).contains(&number).then_some(number);
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(at) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(at + 1).ok();
    }
    if let Some((_, number)) = SYNONYMS.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let real_time = match name.split_once(['+', '-']) {
        None if name == "RTMIN" => RTMIN,
        None if name == "RTMAX" => RTMAX,
        Some(("RTMIN", offset)) if name.contains('+') => RTMIN.checked_add(offset.parse().ok()?)?,
        Some(("RTMAX", offset)) if name.contains('-') => RTMAX.checked_sub(offset.parse().ok()?)?,
        _ => return None,
    };
    (RTMIN..=RTMAX).contains(&real_time).then_some(real_time)
}

#[cfg(test)]
mod tests {
    use super::number_of;

    #[test]
    fn signals_are_numbers_or_names_in_any_case() {
        for (word, number) in [
            ("0", 0),
            ("9", 9),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("Term", 15),
            ("iot", 6),
            ("SYS", 31),
            ("34", 34),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
        ] {
            assert_eq!(number_of(word), Some(number), "{word}");
        }
        for word in ["", "SIG", "65", "-1", "TERMX", "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMAX-31", "9x"] {
            assert_eq!(number_of(word), None, "{word}");
        }
    }
}
