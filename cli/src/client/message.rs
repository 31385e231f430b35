//! Messages and their replies.

/// A message with its placeholders filled in.
pub(crate) fn fill_in(template: &str, n: u32, client: u32) -> String {
    template.replace("{n}", &n.to_string()).replace("{client}", &client.to_string())
}

/// The length of the reply to this message. `None` if it is not complete. The reply to a message that ends with a
/// newline has as many lines as the message. So the next reply can be found also after a wrong one.
pub(crate) fn reply_len(received: &[u8], message: &[u8]) -> Option<usize> {
    if message.last() != Some(&b'\n') {
        return (received.len() >= message.len()).then_some(message.len());
    }
    let lines = message.iter().filter(|byte| **byte == b'\n').count();
    let mut ends = (1..).zip(received).filter(|(_, byte)| **byte == b'\n').map(|(end, _)| end);
    ends.nth(lines - 1)
}

/// A reply on one line, without control characters for the terminal.
pub(crate) fn on_one_line(reply: &[u8]) -> String {
    let reply = reply.strip_suffix(b"\n").unwrap_or(reply);
    let mut line = String::with_capacity(reply.len());
    for chunk in reply.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                control if control.is_control() => line.extend(control.escape_default()),
                plain => line.push(plain),
            }
        }
        line.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_knows_its_number_and_its_client() {
        assert_eq!(fill_in("Hello, {n} of {client}, {m}", 3, 70), "Hello, 3 of 70, {m}");
        assert_eq!(fill_in("{n}{n}{", 12, 1), "1212{");
    }

    #[test]
    fn a_reply_has_as_many_lines_as_the_message_or_as_many_bytes() {
        assert_eq!(reply_len(b"", b"abc\n"), None);
        assert_eq!(reply_len(b"abc", b"abc\n"), None);
        assert_eq!(reply_len(b"abc\nd", b"abc\n"), Some(4));
        assert_eq!(reply_len(b"no\nd", b"abc\n"), Some(3));
        assert_eq!(reply_len(b"\n\n\n", b"a\nb\n"), Some(2));
        assert_eq!(reply_len(b"a\n", b"a\nb\n"), None);
        assert_eq!(reply_len(b"a\n", b"a\nb"), None);
        assert_eq!(reply_len(b"a\nbc", b"a\nb"), Some(3));
    }

    #[test]
    fn a_reply_keeps_to_its_line_and_commands_nothing() {
        assert_eq!(on_one_line(b"Hello, server 1\n"), "Hello, server 1");
        assert_eq!(on_one_line("Grüße\n".as_bytes()), "Grüße");
        assert_eq!(on_one_line(b"\x1b[31mred\r\nnext\n"), "\\u{1b}[31mred\\r\\nnext");
        assert_eq!(on_one_line(b"\xff\xc3(\x80\n"), "\\xff\\xc3(\\x80");
        assert_eq!(on_one_line("\u{9b}31m".as_bytes()), "\\u{9b}31m");
    }
}
