//! The ledger finds what it is there to find: each rule is broken once.

use std::time::Duration;

use crate::ledger::{Asker, End, Goodput, Holdings, Ledger, Scope};

const ONE: Asker = Asker { client: 1, principal: 7 };
/// Another client of the same principal.
const TWO: Asker = Asker { client: 2, principal: 7 };
/// One of another.
const STRANGER: Asker = Asker { client: 3, principal: 8 };

/// What the ledger says of a run, told in words.
fn said(run: impl FnOnce(&Ledger)) -> Vec<String> {
    let ledger = Ledger::default();
    run(&ledger);
    ledger.close();
    ledger.told()
}

/// A run, and the beginnings of what is said of it.
fn check(run: impl FnOnce(&Ledger), expected: &[&str]) {
    let said = said(run);
    let fits = |(said, expected): (&String, &&str)| said.starts_with(expected);
    assert!(
        said.len() == expected.len() && said.iter().zip(expected).all(fits),
        "{said:?}, not {expected:?}"
    );
}

#[test]
fn a_request_ends_once_and_with_an_end() {
    let end = |ledger: &Ledger| ledger.ends(ONE, "0", End::Error);
    check(|_| {}, &[]);
    check(|ledger| drop(ledger.asks(ONE, "0", Scope::Own)), &["I1: request 0 of"]);
    check(end, &["I1: Asker { client: 1, principal: 7 } has no open request 0"]);
    for (times, expected) in [(1, &[][..]), (2, &["I1: "][..])] {
        check(
            |ledger| {
                ledger.asks(ONE, "0", Scope::Own);
                (0..times).for_each(|_| end(ledger));
            },
            expected,
        );
    }
    check(
        |ledger| {
            // One id of two clients is two requests, and an id as text is another than a number.
            ledger.asks(ONE, "0", Scope::Own);
            ledger.asks(TWO, "0", Scope::Own);
            ledger.ends(TWO, "\"0\"", End::Error);
            ledger.leaves(TWO);
            end(ledger);
        },
        &["I1: "],
    );
}

#[test]
fn what_was_cancelled_is_answered_once_or_never() {
    for (times, expected) in [(0, &[][..]), (1, &[][..]), (2, &["I1: "][..])] {
        check(
            |ledger| {
                let nonce = ledger.asks(ONE, "0", Scope::Own);
                ledger.cancels(ONE, "0");
                (0..times).for_each(|_| ledger.ends(ONE, "0", End::Answer(&nonce)));
            },
            expected,
        );
    }
}

#[test]
fn an_answer_carries_what_its_scope_allows() {
    for (scope, [own, same_principal, another, none]) in [
        (Scope::Own, [None, Some("I2: "), Some("I2: "), Some("I2: ")]),
        (Scope::Private, [None, None, Some("I3: "), Some("I3: ")]),
        (Scope::Public, [None, None, None, Some("I2: ")]),
    ] {
        for (which, expected) in [own, same_principal, another, none].into_iter().enumerate() {
            check(
                |ledger| {
                    let own = ledger.asks(ONE, "0", scope);
                    let others = ledger.asks(TWO, "0", scope);
                    let strangers = ledger.asks(STRANGER, "0", scope);
                    let text = [&*own, &*others, &*strangers, "{}"][which];
                    ledger.ends(ONE, "0", End::Answer(&format!("{{\"text\":\"{text}\"}}")));
                    ledger.leaves(TWO);
                    ledger.leaves(STRANGER);
                },
                &expected.into_iter().collect::<Vec<_>>(),
            );
        }
    }
    // One id twice in flight: each answer finds its own request.
    check(
        |ledger| {
            let nonces = [(); 2].map(|()| ledger.asks(ONE, "0", Scope::Own));
            nonces.iter().rev().for_each(|nonce| ledger.ends(ONE, "0", End::Answer(nonce)));
        },
        &[],
    );
    // And an error may be that of either.
    for answered in [0, 1] {
        check(
            |ledger| {
                let nonces = [(); 2].map(|()| ledger.asks(ONE, "0", Scope::Own));
                ledger.ends(ONE, "0", End::Error);
                ledger.ends(ONE, "0", End::Answer(&nonces[answered]));
            },
            &[],
        );
    }
}

#[test]
fn what_is_held_at_rest_is_what_was_held_before() {
    check(|ledger| ledger.at_rest("calls in flight", 0, 0), &[]);
    check(|ledger| ledger.at_rest("calls in flight", 0, 1), &["I4: calls in flight at rest: 1"]);
    let before = Holdings { memory: 10, peak: 20, descriptors: 5, children: 2 };
    check(|ledger| ledger.holds(&before, &before, 20), &[]);
    check(|ledger| ledger.holds(&before, &before, 19), &["I5: 20 KiB"]);
    for (descriptors, children) in [(6, 2), (5, 1), (5, 3)] {
        let now = Holdings { descriptors, children, ..before };
        check(|ledger| ledger.holds(&before, &now, 20), &["I5: "]);
    }
    let own = Holdings::of(std::process::id()).unwrap();
    assert!(own.memory > 500 && own.peak >= own.memory && own.descriptors > 2, "{own}");
}

#[test]
fn goodput_is_back_once_it_stays() {
    const SECOND: Duration = Duration::from_secs(1);
    let mut goodput = Goodput::new(SECOND);
    // 20 a second; from 3 s on all fail, at 6 s half, at 7 s one of 20, and then one that comes too late.
    for (second, bad) in [0, 0, 0, 20, 20, 20, 10, 1, 0, 0].into_iter().enumerate() {
        for number in 0..20 {
            goodput.record(SECOND * u32::try_from(second).unwrap(), number >= bad);
        }
    }
    assert_eq!(goodput.share(Duration::ZERO, 3 * SECOND), Some(1.0));
    assert_eq!(goodput.share(3 * SECOND, 6 * SECOND), Some(0.0));
    assert_eq!(goodput.back(5 * SECOND, 10 * SECOND), Some(2 * SECOND));
    assert_eq!(goodput.back(7 * SECOND, 10 * SECOND), Some(Duration::ZERO));
    assert_eq!(goodput.back(3 * SECOND, 6 * SECOND), None, "not within this time");
    assert_eq!(goodput.share(20 * SECOND, 30 * SECOND), None);
    let recovers = |took| said(|ledger| ledger.recovers("s", took, 10 * SECOND));
    assert!(recovers(Some(10 * SECOND)).is_empty());
    assert!(recovers(Some(11 * SECOND))[0].starts_with("I7: ") && !recovers(None).is_empty());
}
