//! A small number for each thread that counts, so that it may have a counter of its own.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many stripes a window has: enough for the threads that run at once, and no more than there are numbers.
pub(crate) fn stripes() -> usize {
    static STRIPES: OnceLock<usize> = OnceLock::new();
    *STRIPES.get_or_init(|| {
        std::thread::available_parallelism().map_or(8, |cores| (2 * cores.get()).clamp(8, 64))
    })
}

/// Numbers that no living thread has, one bit each. Taking one synchronizes with its giving back, so the next
/// owner sees all that the last one wrote.
static FREE: AtomicU64 = AtomicU64::new(u64::MAX);

/// Not asked yet.
const UNKNOWN: usize = usize::MAX;
/// All numbers are taken, or the thread is ending.
const NONE: usize = usize::MAX - 1;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
    static LEAVE: Leave = const { Leave };
}

/// The calling thread's number: below 64, and no other living thread's. Larger where it has none.
#[inline]
pub(crate) fn number() -> usize {
    let number = NUMBER.get();
    if number == UNKNOWN { enter() } else { number }
}

#[cold]
#[inline(never)]
fn enter() -> usize {
    // A thread that is ending can no longer promise to give a number back.
    let number = if LEAVE.try_with(|_| ()).is_ok() { claim() } else { NONE };
    NUMBER.set(number);
    number
}

fn claim() -> usize {
    let lowest = |free: u64| (free != 0).then(|| free & (free - 1));
    match FREE.fetch_update(Ordering::AcqRel, Ordering::Acquire, lowest) {
        Ok(free) => free.trailing_zeros() as usize,
        Err(_) => NONE,
    }
}

/// Gives the thread's number back when it ends.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        let number = NUMBER.replace(NONE);
        if number < 64 {
            FREE.fetch_or(1 << number, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::Barrier;

    #[test]
    fn living_threads_never_share_a_number_and_ended_ones_give_it_back() {
        for _ in 0..20 {
            let all = Barrier::new(80);
            let numbers: Vec<usize> = std::thread::scope(|scope| {
                let counting = || {
                    let first = number();
                    all.wait();
                    assert_eq!(number(), first);
                    first
                };
                let threads: Vec<_> = (0..80).map(|_| scope.spawn(counting)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let own: Vec<usize> = numbers.iter().copied().filter(|it| *it < 64).collect();
            let distinct: BTreeSet<usize> = own.iter().copied().collect();
            assert_eq!(own.len(), distinct.len());
            // Other tests of this process hold a few.
            assert!(own.len() > 32, "{} of 80", own.len());
        }
    }

    #[test]
    fn a_thread_that_is_ending_takes_no_number() {
        struct Late(std::sync::mpsc::Sender<usize>);
        impl Drop for Late {
            fn drop(&mut self) {
                self.0.send(number()).unwrap();
            }
        }
        thread_local!(static LATE: Cell<Option<Late>> = const { Cell::new(None) });
        let (sender, receiver) = std::sync::mpsc::channel();
        let ending = std::thread::spawn(move || {
            // Registered first, and so dropped last: after the number was given back.
            LATE.set(Some(Late(sender)));
            number()
        });
        ending.join().unwrap();
        let late = receiver.recv().unwrap();
        assert!(late == NONE || late < 64, "{late}");
    }
}
