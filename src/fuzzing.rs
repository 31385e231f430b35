//! What the fuzzer drives of the parts that are not public: a script of bytes against a model.

use crate::core::kept::Kept;
use crate::core::outbox::Outbox;
use crate::input::Input;

/// Two bytes a step: one that says what, one that says how much.
fn steps(script: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    script.chunks_exact(2).map(|step| (step[0], usize::from(step[1])))
}

/// Pushes and consumes; the order of a plain queue must be kept.
///
/// # Panics
/// If it is not: that is a finding.
pub fn outbox(script: &[u8]) {
    let mut outbox = Outbox::default();
    let mut model: Vec<u8> = Vec::new();
    for (what, size) in steps(script) {
        if what & 1 == 0 {
            let bytes = vec![what; size * (1 + usize::from(what))];
            outbox.push(&bytes);
            model.extend(bytes);
        } else {
            let count = model.len() * size / 255;
            outbox.consume(count);
            model.drain(..count);
        }
        assert_eq!((outbox.len(), outbox.is_empty()), (model.len(), model.is_empty()));
        assert!(outbox.slices().flatten().eq(&model));
        assert!(outbox.slices().all(|slice| !slice.is_empty()));
    }
}

/// Bytes trickle in and a handler takes as it likes; it must see the plain stream.
///
/// # Panics
/// If it does not: that is a finding.
pub fn input(script: &[u8]) {
    const DELIMITERS: [&[u8]; 3] = [b"\0", b"\x01\0", b"\0\0\x01"];
    let mut kept = Kept::default();
    let mut model: Vec<u8> = Vec::new();
    for (what, size) in steps(script) {
        let arrived: Vec<u8> =
            (0..size).map(|at| (at * usize::from(what) >> 3) as u8 & 1).collect();
        kept.append(&arrived);
        model.extend(arrived);
        let shown = kept.len();
        let search = kept.take_search();
        let mut input = Input::resume(kept.bytes(), search);
        assert_eq!(input.peek(), model);
        match what % 6 {
            0 => drop(input.take()),
            1 => drop(input.take_exact(size / 2)),
            2 => {}
            other => {
                let delimiter = DELIMITERS[usize::from(other) - 3];
                let at = model.windows(delimiter.len()).position(|window| window == delimiter);
                assert_eq!(input.take_until(delimiter), at.map(|at| &model[..at]));
            }
        }
        let left = input.len();
        let search = input.into_search();
        kept.consume(shown - left);
        kept.put_search(search);
        model.drain(..shown - left);
    }
}
