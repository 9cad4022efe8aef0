//! What stands in front of the store, on one thread; `tests/it/schedules.rs` has several, under loom, and so its own copy
//! of the source.

use std::sync::Arc;

use crate::front::{Front, Glance, Pass, SAMPLE};

fn found(front: &Front<&'static str>, hash: u64) -> Option<&'static str> {
    match front.look(hash) {
        Glance::Slot(slot) => Some(*slot),
        Glance::Ask(_) => None,
    }
}

fn pass(front: &Front<&'static str>, hash: u64) -> Option<Pass> {
    match front.look(hash) {
        Glance::Slot(_) => None,
        Glance::Ask(pass) => pass,
    }
}

#[test]
fn what_the_store_freed_is_not_found() {
    let front = Front::new(4);
    let slot = Arc::new("a");
    front.show(1, &pass(&front, 1).unwrap(), &slot);
    assert_eq!((found(&front, 1), found(&front, 5), found(&front, 2)), (Some("a"), None, None));
    drop(slot);
    assert_eq!(found(&front, 1), None);
}

#[test]
fn the_store_hears_of_one_find_in_so_many() {
    let front = Front::new(4);
    let slot = Arc::new("a");
    let mut asked = 0;
    for _ in 0..10 * usize::from(SAMPLE) {
        if let Glance::Ask(pass) = front.look(1) {
            asked += 1;
            front.show(1, &pass.unwrap(), &slot);
        }
    }
    assert_eq!(asked, 10, "one in {SAMPLE}");
}

#[test]
fn a_bucket_that_was_written_is_not_filled_with_what_was_seen_before() {
    let front = Front::new(1);
    let (old, new) = (Arc::new("old"), Arc::new("new"));
    let before = pass(&front, 1).unwrap();
    let (one, other) = (front.write(1), front.write(9));
    assert!(pass(&front, 1).is_none(), "while it is written");
    drop(one);
    assert!(pass(&front, 1).is_none(), "while the other writes");
    drop(other);
    front.show(1, &before, &old);
    assert_eq!(found(&front, 1), None);
    front.show(1, &pass(&front, 1).unwrap(), &new);
    assert_eq!(found(&front, 1), Some("new"));
}

#[test]
fn a_key_keeps_its_bucket_while_it_is_asked_for_more_than_others() {
    let front = Front::new(1);
    let (slot, other) = (Arc::new("often"), Arc::new("seldom"));
    front.show(1, &pass(&front, 1).unwrap(), &slot);
    for _ in 0..3 {
        assert_eq!(found(&front, 1), Some("often"));
    }
    for _ in 0..3 {
        assert!(pass(&front, 2).is_none());
    }
    front.show(2, &pass(&front, 2).unwrap(), &other);
    assert_eq!((found(&front, 2), found(&front, 1)), (Some("seldom"), None));
}

#[test]
fn a_table_without_buckets_asks_the_store() {
    let front = Front::<&str>::new(0);
    assert!(pass(&front, 7).is_none());
    drop(front.write(7));
    assert_eq!([1, 3, 4, 1_000].map(|most| Front::<u8>::new(most).len()), [1, 2, 4, 512]);
}
