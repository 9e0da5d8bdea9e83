//! The parser.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use super::{Flag, Order, Parsed};

/// Why parsing ended early.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// `--help` or `-h`.
    Help,
    /// The words for what is wrong.
    Wrong(String),
}

/// Takes options and operands apart.
pub fn parse(
    flags: &[&'static Flag],
    order: Order,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Parsed, Stopped> {
    let mut parsed = Parsed::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let Some(option) = option_of(&arg) else {
            parsed.operands.push(arg);
            if order == Order::OperandsLast {
                break;
            }
            continue;
        };
        if option.is_empty() {
            break;
        }
        let (name, attached) = split_at_equals(option);
        let name = name.to_string_lossy();
        if name.is_empty() || name.starts_with('-') {
            return Err(Stopped::Wrong(format!("bad flag syntax: {}", arg.to_string_lossy())));
        }
        let Some(flag) = flags.iter().find(|flag| flag.is_named(&name)) else {
            if name == "help" || name == "h" {
                return Err(Stopped::Help);
            }
            return Err(Stopped::Wrong(format!("flag provided but not defined: -{name}")));
        };
        let value = match (flag.value, attached) {
            (Some(_), Some(value)) => value.to_owned(),
            (Some(_), None) => {
                args.next().ok_or_else(|| Stopped::Wrong(format!("flag needs an argument: -{name}")))?
            }
            (None, None) => "true".into(),
            (None, Some(value)) => switch_value(&name, value)?.to_string().into(),
        };
        parsed.options.push((flag.name, value));
    }
    parsed.operands.extend(args);
    Ok(parsed)
}

/// What follows the dashes; empty for `--`, none for an operand (`-` is one).
fn option_of(arg: &OsStr) -> Option<&OsStr> {
    let rest = arg.as_bytes().strip_prefix(b"-").filter(|rest| !rest.is_empty())?;
    Some(OsStr::from_bytes(rest.strip_prefix(b"-").unwrap_or(rest)))
}

fn split_at_equals(option: &OsStr) -> (&OsStr, Option<&OsStr>) {
    let bytes = option.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (OsStr::from_bytes(&bytes[..at]), Some(OsStr::from_bytes(&bytes[at + 1..]))),
        None => (option, None),
    }
}

/// The words Go's strconv.ParseBool knows.
pub fn bool_word(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn switch_value(name: &str, value: &OsStr) -> Result<bool, Stopped> {
    value.to_str().and_then(bool_word).ok_or_else(|| {
        let value = OsString::from_vec(value.as_bytes().to_vec());
        Stopped::Wrong(format!("invalid boolean value {value:?} for -{name}: parse error"))
    })
}

#[cfg(test)]
mod tests {
    use super::{Flag, Order, Parsed, Stopped, parse};

    const ROOT: Flag = Flag::value("root", "DIR", "");
    const BUNDLE: Flag = Flag::value("bundle", "DIR", "").short('b');
    const DETACH: Flag = Flag::switch("detach", "").short('d');

    fn mixed(args: &[&str]) -> Result<Parsed, Stopped> {
        parse(&[&ROOT, &BUNDLE, &DETACH], Order::Mixed, args.iter().map(Into::into))
    }

    #[test]
    fn every_way_of_writing_a_value_is_the_same() {
        for args in [
            &["--bundle", "/x"][..],
            &["--bundle=/x"],
            &["-bundle", "/x"],
            &["-bundle=/x"],
            &["-b", "/x"],
            &["-b=/x"],
            &["--b=/x"],
            &["--bundle", "/y", "-b", "/x"],
        ] {
            let parsed = mixed(args).expect("parses");
            assert_eq!(parsed.value(&BUNDLE).and_then(|value| value.to_str()), Some("/x"), "{args:?}");
            assert!(parsed.operands.is_empty(), "{args:?}");
        }
    }

    #[test]
    fn values_may_look_like_options() {
        let parsed = mixed(&["--bundle", "--detach", "--root="]).expect("parses");
        assert_eq!(parsed.value(&BUNDLE).and_then(|value| value.to_str()), Some("--detach"));
        assert_eq!(parsed.value(&ROOT).and_then(|value| value.to_str()), Some(""));
        assert!(!parsed.is_set(&DETACH));
    }

    #[test]
    fn switches_take_a_value_only_after_an_equals_sign() {
        for (args, on, operands) in [
            (&["--detach"][..], true, 0),
            (&["-d=false"], false, 0),
            (&["-d", "--detach=0"], false, 0),
            (&["-d", "true"], true, 1),
        ] {
            let parsed = mixed(args).expect("parses");
            assert_eq!((parsed.is_set(&DETACH), parsed.operands.len()), (on, operands), "{args:?}");
        }
    }

    #[test]
    fn options_stand_before_and_after_operands_until_two_dashes() {
        let parsed = mixed(&["id", "-d", "--", "-b", "-"]).expect("parses");
        assert!(parsed.is_set(&DETACH));
        assert_eq!(parsed.operands, ["id", "-b", "-"]);
    }

    #[test]
    fn operands_last_leaves_the_rest_alone() {
        let args = ["-d", "sh", "-c", "--bundle"].iter().map(Into::into);
        let parsed = parse(&[&BUNDLE, &DETACH], Order::OperandsLast, args).expect("parses");
        assert!(parsed.is_set(&DETACH));
        assert_eq!(parsed.operands, ["sh", "-c", "--bundle"]);
    }

    #[test]
    fn errors_have_the_words_that_callers_match() {
        for (args, words) in [
            (&["--bundle"][..], "flag needs an argument: -bundle"),
            (&["-b"], "flag needs an argument: -b"),
            (&["--bogus", "x"], "flag provided but not defined: -bogus"),
            (&["-x"], "flag provided but not defined: -x"),
            (&["-dx"], "flag provided but not defined: -dx"),
            (&["---x"], "bad flag syntax: ---x"),
            (&["--=x"], "bad flag syntax: --=x"),
            (&["--detach=maybe"], "invalid boolean value \"maybe\" for -detach: parse error"),
        ] {
            assert_eq!(mixed(args).err(), Some(Stopped::Wrong(words.into())), "{args:?}");
        }
        assert_eq!(mixed(&["--help"]).err(), Some(Stopped::Help));
        assert_eq!(mixed(&["id", "-h"]).err(), Some(Stopped::Help));
    }
}
