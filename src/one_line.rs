//! Texts from outside of this crate, on one line.
//!
//! `Display` of each error of this crate shows the error and its cause on one line: what failed, a colon, and the
//! cause. So a program that prints an error need not follow `source`.

use std::error::Error;
use std::fmt::{self, Display, Write};

/// A text from outside of this crate. Characters that would break the line, control the terminal or reverse the reading
/// direction are escaped.
#[derive(Debug)]
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// An error from outside of this crate, and its causes. Some errors show their cause themselves: a cause is left out if
/// the line already ends with it.
#[derive(Debug)]
pub(crate) struct OneLine<'a>(pub(crate) &'a dyn Error);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut line, mut text) = (String::new(), String::new());
        let mut next = Some(self.0);
        while let Some(error) = next {
            text.clear();
            write!(text, "{error}")?;
            if !line.ends_with(&text) {
                let separator = if line.is_empty() { "" } else { ": " };
                line.push_str(separator);
                line.push_str(&text);
            }
            next = error.source();
        }
        Escaped(line).fmt(f)
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if is_dangerous(character) {
                write!(self.0, "{}", character.escape_default())?;
            } else {
                self.0.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Control characters, separators of lines and paragraphs, and characters that change the direction of the following
/// text (Unicode Standard Annex 9).
fn is_dangerous(character: char) -> bool {
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || turns || matches!(character, '\u{2028}' | '\u{2029}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error with its text and its cause.
    #[derive(Debug)]
    struct Told(&'static str, Option<Box<Self>>);

    impl Display for Told {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Told {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    fn chain(texts: &[&'static str]) -> Told {
        let (text, causes) = texts.split_first().unwrap();
        Told(text, (!causes.is_empty()).then(|| Box::new(chain(causes))))
    }

    #[test]
    fn causes_are_shown_once_whether_errors_show_them_or_not() {
        for texts in [
            &["no answer", "no route", "down"][..],
            &["no answer: no route: down", "no route: down", "down"],
            &["no answer: no route", "no route", "down"],
            &["no answer", "no route: down", "down"],
            &["no answer", "", "no route", "down"],
        ] {
            assert_eq!(OneLine(&chain(texts)).to_string(), "no answer: no route: down");
        }
    }

    #[test]
    fn characters_that_break_the_line_or_control_the_terminal_are_escaped() {
        let text = "two\nlines \x1b[31m\u{2028}\u{202e}tab\there\u{85} \u{e9} \u{1f980}";
        let line = Escaped(text).to_string();
        let expected =
            "two\\nlines \\u{1b}[31m\\u{2028}\\u{202e}tab\\there\\u{85} \u{e9} \u{1f980}";
        assert_eq!(line, expected);
        assert_eq!(OneLine(&chain(&["two\nlines", "\r"])).to_string(), r"two\nlines: \r");
    }
}
