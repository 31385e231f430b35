use std::io::{Read, Write};
use std::net::Shutdown;

use crate::binary::Binary;
use crate::util::*;

#[test]
fn chargen_produces_the_pattern_of_the_rfc_as_fast_as_it_is_read() {
    let binary = Binary::start(&["--service", "chargen"]);
    let mut client = connect(binary.addr());
    let mut text = vec![0; 5_000_000];
    client.read_exact(&mut text).unwrap();
    let first = b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n";
    assert!(text.starts_with(first));
    // Line 95 begins again with the first character.
    assert!(text.chunks(95 * 74).all(|round| text.starts_with(round)), "the pattern is broken");
    // It reads while it produces: a client that finishes is seen.
    client.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut client);
}

#[test]
fn discard_answers_nothing() {
    let binary = Binary::start(&["--service", "discard"]);
    let mut client = connect(binary.addr());
    client.write_all(&noise(1_000_000)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client), b"");
}

#[test]
fn daytime_tells_one_line_and_closes() {
    let binary = Binary::start(&["--service", "daytime"]);
    let line = String::from_utf8(read_to_end(&mut connect(binary.addr()))).unwrap();
    assert!(line.ends_with("-UTC\r\n") && line.lines().count() == 1, "{line}");
}
