//! Several limits at once: all or nothing.

use toolweir_ratelimit::{Bucket, Limit, Limiter, Refusal, Refused, charge_all_at, check_all_at};

use crate::{at, config, ms};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn a_refusal_by_one_costs_the_others_nothing() -> Outcome {
    let clients = Limiter::<String>::new(&config(1.0, 3))?;
    let tools = Limiter::<u8>::new(&config(1.0, 2))?;
    let server = Bucket::new(&config(1.0, 1))?;
    let check = |client: &str, now| {
        check_all_at(&[(&clients.of(client), 1), (&tools.of(&1), 1), (&server, 1)], at(now))
    };
    check("a", 0)?;
    let limited = |limit, millis| {
        Err(Refused { limit, refusal: Refusal::Limited { retry_after: ms(millis) } })
    };
    for _ in 0..10 {
        assert_eq!(check("a", 0), limited(2, 1_000));
    }
    assert_eq!(clients.check_n_at("a", 2, at(0)), Ok(()));
    assert_eq!(tools.check_n_at(&1, 1, at(0)), Ok(()));
    assert_eq!(check("a", 0), limited(0, 1_000), "of equals the first is named");
    assert_eq!(clients.len(), 1);
    assert_eq!(check("b", 0), limited(1, 1_000));
    assert_eq!(clients.len(), 1, "a refused newcomer takes no room");
    check("b", 1_000)?;
    Ok(())
}

#[test]
fn the_longest_refusal_is_named() -> Outcome {
    let fast = Bucket::new(&config(10.0, 1))?;
    let slow = Limiter::<u8>::new(&config(1.0, 4))?;
    slow.check_n_at(&1, 4, at(0))?;
    fast.check_at(at(0))?;
    let slow_key = slow.of(&1);
    let both = |cost: u32| check_all_at(&[(&fast as &dyn Limit, 1), (&slow_key, cost)], at(0));
    let refusal = Refusal::Limited { retry_after: ms(3_000) };
    assert_eq!(both(3), Err(Refused { limit: 1, refusal }));
    assert_eq!(both(5), Err(Refused { limit: 1, refusal: Refusal::TooCostly { burst: 4 } }));
    let dear = Bucket::new(&config(0.1, 2))?;
    dear.check_n_at(2, at(0))?;
    let both = |cost: u32| check_all_at(&[(&slow_key as &dyn Limit, 3), (&dear, cost)], at(0));
    let refusal = Refusal::Limited { retry_after: ms(10_000) };
    assert_eq!(both(1), Err(Refused { limit: 1, refusal }));
    assert_eq!(both(3), Err(Refused { limit: 1, refusal: Refusal::TooCostly { burst: 2 } }));
    Ok(())
}

#[test]
fn a_limit_that_stands_twice_and_has_one_left_gives_it_back() -> Outcome {
    // Each look finds one call; the second take does not, and the first is undone.
    let bucket = Bucket::new(&config(1.0, 1))?;
    let limiter = Limiter::<u8>::new(&config(1.0, 1))?;
    let refusal = Refusal::Limited { retry_after: ms(1_000) };
    let twice = check_all_at(&[(&limiter.of(&1), 1), (&bucket, 1), (&bucket, 1)], at(0));
    assert_eq!(twice, Err(Refused { limit: 2, refusal }));
    assert_eq!(bucket.check_at(at(0)), Ok(()));
    assert_eq!(limiter.check_at(&1, at(0)), Ok(()));
    Ok(())
}

#[test]
fn a_key_with_a_line_is_looked_at_and_undone_alike() -> Outcome {
    let limiter = Limiter::<u8>::new(&config(1.0, 1).max_wait(ms(9_000)))?;
    let bucket = Bucket::new(&config(1.0, 1))?;
    limiter.check_at(&1, at(0))?;
    let turn = limiter.reserve_at(&1, 1, at(0), at(9_000))?;
    let check = |now| {
        check_all_at(&[(&limiter.of(&1), 1), (&bucket, 1), (&bucket, 1)], at(now))
            .map_err(|refused| (refused.limit, refused.refusal.retry_after()))
    };
    assert_eq!(check(500), Err((0, Some(ms(1_500)))));
    assert_eq!(check(2_000), Err((2, Some(ms(1_000)))));
    assert_eq!(limiter.check_at(&1, at(2_000)), Ok(()), "undone");
    drop(turn);
    Ok(())
}

/// The first take of key 1 was pushed out by key 2, and what undoes it finds the key back with another take.
#[test]
fn a_take_that_others_came_after_is_not_undone() -> Outcome {
    let limiter = Limiter::<u8>::new(&config(1.0, 4).max_keys(1))?;
    let bucket = Bucket::new(&config(1.0, 1))?;
    let (one, two, three) = (limiter.of(&1), limiter.of(&2), limiter.of(&3));
    let limits: [(&dyn Limit, u32); 6] =
        [(&one, 1), (&two, 2), (&three, 1), (&one, 1), (&bucket, 1), (&bucket, 1)];
    let refusal = Refusal::Limited { retry_after: ms(1_000) };
    assert_eq!(check_all_at(&limits, at(0)), Err(Refused { limit: 5, refusal }));
    // Key 1 came back with what key 2 had taken, and keeps that.
    assert_eq!(limiter.check_n_at(&1, 3, at(0)), Err(refusal));
    assert_eq!(limiter.check_n_at(&1, 2, at(0)), Ok(()));
    Ok(())
}

#[test]
fn what_came_to_nothing_is_given_back_unless_another_came_after() -> Outcome {
    let users = Limiter::<String>::new(&config(1.0, 2))?;
    let server = Bucket::new(&config(1.0, 5))?;
    let ann = users.of("ann");
    let limits: [(&dyn Limit, u32); 2] = [(&ann, 1), (&server, 2)];
    let first = charge_all_at(&limits, at(0))?;
    first.give_back(&limits);
    assert_eq!(charge_all_at(&limits, at(0))?, first, "it is as if it had never been");
    let second = charge_all_at(&limits, at(0))?;
    first.give_back(&limits);
    assert!(users.check_at("ann", at(0)).is_err(), "the second may rest on the first");
    second.give_back(&limits);
    assert_eq!(users.check_n_at("ann", 1, at(0)), Ok(()));
    assert!(users.check_at("ann", at(0)).is_err());
    assert_eq!(server.check_n_at(3, at(0)), Ok(()), "the server's was given back with it");
    // Of some of the limits alone, in their order.
    let third = charge_all_at(&[(&users.of("bob") as &dyn Limit, 2), (&server, 0)], at(5_000))?;
    third.give_back(&[(&users.of("bob"), 2)]);
    assert_eq!(users.check_n_at("bob", 2, at(5_000)), Ok(()));
    assert!(server.check_n_at(5, at(5_000)).is_err(), "one of the server's stays taken");
    Ok(())
}
