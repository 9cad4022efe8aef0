//! What happens between a caller's look at a gate and its joining of a line, which no test can get between from without.

use std::task::Waker;

use crate::crowd::{Crowd, Look};

#[test]
fn a_place_that_came_free_before_a_caller_joined_is_its_own() {
    let mut crowd = Crowd::new(4);
    let (one, _) = crowd.join(&'a', 2).expect("a place is free");
    let (other, _) = crowd.join(&'a', 2).expect("another is free");
    let (third, _) = crowd.join(&'a', 2).expect("the line has room");
    assert_eq!((crowd.in_flight(), crowd.waiting()), (2, 1));
    let mut look = |id| crowd.look(&'a', id, Waker::noop());
    assert_eq!([look(one), look(other), look(third)], [Look::Enter, Look::Enter, Look::Wait]);
    assert!(!crowd.give_up(&'a', one), "it has taken its place");
    let (fourth, _) = crowd.join(&'b', 4).expect("the line has room");
    assert!(!crowd.give_up(&'b', fourth), "others wait for the free places");
}
