//! `acquire` on paused time.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::LocalSet;
use toolweir_core::{Clock, Instant, TokioClock};
use toolweir_ratelimit::{Bucket, Config, Limiter, Refusal};

use crate::{config, ms};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn limiter(config: &Config) -> Result<Rc<Limiter<u8>>, Box<dyn std::error::Error>> {
    Ok(Rc::new(Limiter::with_clock(config, Arc::new(TokioClock))?))
}

/// Counts how often a future is polled.
struct Counted<F> {
    future: Pin<Box<F>>,
    polls: Rc<Cell<u32>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.set(self.polls.get() + 1);
        self.future.as_mut().poll(context)
    }
}

#[tokio::test(start_paused = true)]
async fn p9_five_hundred_waiters_go_in_order_on_two_polls_at_the_full_rate() -> Outcome {
    let limiter = limiter(&config(100.0, 1).max_wait(ms(60_000)))?;
    let polls = Rc::new(Cell::new(0));
    let order = Rc::new(RefCell::new(Vec::new()));
    let begun = TokioClock.now();
    let tasks = LocalSet::new();
    for number in 0..500 {
        let (limiter, order) = (Rc::clone(&limiter), Rc::clone(&order));
        let future = Box::pin(async move {
            limiter.acquire(&1).await.expect("within a minute");
            order.borrow_mut().push(number);
        });
        tasks.spawn_local(Counted { future, polls: Rc::clone(&polls) });
    }
    tasks.await;
    let took = TokioClock.now() - begun;
    assert!(order.borrow().is_sorted(), "overtaken: {:?}", order.borrow());
    assert_eq!(order.borrow().len(), 500);
    assert!(f64::from(polls.get()) <= 2.1 * 500.0, "{} polls", polls.get());
    // 499 intervals of 10 ms, within 1 %.
    assert!(took >= ms(4_990) && took <= ms(5_040), "{took:?}");
    Ok(())
}

/// Many turns fall into one tick of the timer.
#[tokio::test(start_paused = true)]
async fn p9_turns_closer_than_the_timers_tick_keep_order_and_rate() -> Outcome {
    let limiter = limiter(&config(9_000.0, 1).max_wait(ms(60_000)))?;
    let order = Rc::new(RefCell::new(Vec::new()));
    let begun = TokioClock.now();
    let tasks = LocalSet::new();
    for number in 0..900 {
        let (limiter, order) = (Rc::clone(&limiter), Rc::clone(&order));
        tasks.spawn_local(async move {
            limiter.acquire(&1).await.expect("within a minute");
            order.borrow_mut().push(number);
        });
    }
    tasks.await;
    let took = TokioClock.now() - begun;
    let order = order.borrow();
    let overtaken = order.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(overtaken < 9, "{overtaken} of 900");
    assert!(took >= ms(99) && took <= ms(102), "{took:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_waiter_gives_its_place_to_the_next() -> Outcome {
    let limiter = limiter(&config(1.0, 1).max_wait(ms(60_000)))?;
    limiter.check(&1)?;
    let begun = TokioClock.now();
    let gone = Rc::new(RefCell::new(Vec::new()));
    let tasks = LocalSet::new();
    let mut handles = Vec::new();
    for number in 0..6_u64 {
        let (limiter, gone) = (Rc::clone(&limiter), Rc::clone(&gone));
        handles.push(tasks.spawn_local(async move {
            limiter.acquire(&1).await.expect("within a minute");
            gone.borrow_mut().push((number, (TokioClock.now() - begun).as_millis()));
        }));
    }
    tasks
        .run_until(async {
            tokio::time::sleep(ms(500)).await;
            handles[0].abort();
            handles[2].abort();
            handles[3].abort();
        })
        .await;
    tasks.await;
    assert_eq!(*gone.borrow(), [(1, 1_000), (4, 2_000), (5, 3_000)]);
    assert_eq!(limiter.check(&1).map_err(|refusal| refusal.retry_after()), Err(Some(ms(1_000))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn however_many_leave_a_waiter_is_woken_once_more_at_most() -> Outcome {
    let limiter = limiter(&config(100.0, 1).max_wait(ms(60_000)))?;
    let polls = Rc::new(Cell::new(0));
    let tasks = LocalSet::new();
    let mut leaving = Vec::new();
    for number in 0..400 {
        let limiter = Rc::clone(&limiter);
        let future = Box::pin(async move { limiter.acquire(&1).await });
        if number % 2 == 0 {
            leaving.push(tasks.spawn_local(future));
        } else {
            tasks.spawn_local(Counted { future, polls: Rc::clone(&polls) });
        }
    }
    let begun = TokioClock.now();
    tasks
        .run_until(async {
            tokio::time::sleep(ms(1)).await;
            leaving.iter().for_each(tokio::task::JoinHandle::abort);
        })
        .await;
    tasks.await;
    // The first of the leaving had gone; 200 stay for turns at 10, 20, … ms.
    let took = TokioClock.now() - begun;
    assert!(took >= ms(2_000) && took <= ms(2_002), "{took:?}");
    assert!(polls.get() <= 3 * 200, "{} polls", polls.get());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn p9_who_would_be_too_late_is_refused_without_waiting() -> Outcome {
    let limiter = limiter(&config(1.0, 1).max_wait(ms(1_500)).max_waiting(1))?;
    let begun = TokioClock.now();
    limiter.acquire(&1).await?;
    let by = begun + ms(999);
    let refusal = limiter.acquire_by(&1, by).await.expect_err("turn at 1,000");
    assert_eq!(refusal, Refusal::TooLate { retry_after: ms(1_000) });
    let turn = limiter.reserve_at(&1, 1, begun, Instant::FAR_FUTURE)?;
    let refusal = limiter.acquire(&1).await.expect_err("turn at 2,000");
    assert_eq!(refusal, Refusal::TooLate { retry_after: ms(2_000) });
    drop(turn);
    assert_eq!(TokioClock.now(), begun);
    limiter.acquire_by(&1, begun + ms(1_000)).await?;
    assert_eq!(TokioClock.now() - begun, ms(1_000));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_pause_puts_off_those_who_can_wait_and_sends_away_the_others() -> Outcome {
    let bucket = Bucket::with_clock(&config(1.0, 1).max_wait(ms(60_000)), Arc::new(TokioClock))?;
    let bucket = Rc::new(bucket);
    bucket.acquire().await?;
    let begun = TokioClock.now();
    let tasks = LocalSet::new();
    let wait = |by: Instant| {
        let bucket = Rc::clone(&bucket);
        let future = Box::pin(async move {
            let answer = bucket.acquire_by(by).await;
            (answer, (TokioClock.now() - begun).as_millis())
        });
        let polls = Rc::new(Cell::new(0));
        (tasks.spawn_local(Counted { future, polls: Rc::clone(&polls) }), polls)
    };
    // The pause puts the third off to its deadline; then the second goes, and the third moves up.
    let waiters = [wait(Instant::FAR_FUTURE), wait(begun + ms(3_000)), wait(begun + ms(7_500))];
    tasks
        .run_until(async {
            tokio::time::sleep(ms(500)).await;
            bucket.penalize(ms(5_000));
        })
        .await;
    tasks.await;
    let too_late = Err(Refusal::TooLate { retry_after: ms(6_000) });
    // Only who is too late is woken by the pause; the others find out when they would have gone.
    let expected = [((Ok(()), 5_500), 3), ((too_late, 500), 2), ((Ok(()), 6_500), 3)];
    for ((task, polls), (answer, polled)) in waiters.into_iter().zip(expected) {
        assert_eq!((task.await?, polls.get()), (answer, polled));
    }
    assert_eq!(bucket.waiting(), 0);
    Ok(())
}

/// Half as fast as Tokio's; and whoever asks it again and again instead of sleeping is found out.
#[derive(Debug, Default)]
struct Slow(AtomicU32);

impl Clock for Slow {
    fn now(&self) -> Instant {
        assert!(self.0.fetch_add(1, Ordering::Relaxed) < 100, "asked too often");
        Instant::from_nanos(1_000_000_000_000 + TokioClock.now().as_nanos() / 2)
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_slower_than_the_timers_is_waited_for() -> Outcome {
    let bucket =
        Bucket::with_clock(&config(1.0, 1).max_wait(ms(60_000)), Arc::new(Slow::default()))?;
    bucket.acquire().await?;
    let begun = TokioClock.now();
    bucket.acquire().await?;
    let took = TokioClock.now() - begun;
    assert!(took >= ms(1_999) && took <= ms(2_010), "{took:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_dear_call_waits_for_as_many_as_it_costs() -> Outcome {
    let limiter = limiter(&config(10.0, 4).max_wait(ms(60_000)))?;
    let begun = TokioClock.now();
    limiter.acquire_n_by(&1, 4, Instant::FAR_FUTURE).await?;
    limiter.acquire_n_by(&1, 3, Instant::FAR_FUTURE).await?;
    assert_eq!(TokioClock.now() - begun, ms(300));
    let refusal = limiter.acquire_n_by(&1, 5, Instant::FAR_FUTURE).await;
    assert_eq!(refusal, Err(Refusal::TooCostly { burst: 4 }));
    let bucket = Bucket::with_clock(&config(10.0, 4), Arc::new(TokioClock))?;
    bucket.acquire_n_by(4, Instant::FAR_FUTURE).await?;
    let by = TokioClock.now() + ms(199);
    let refusal = bucket.acquire_n_by(2, by).await;
    assert_eq!(refusal, Err(Refusal::TooLate { retry_after: ms(200) }));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn keys_do_not_wait_for_each_other() -> Outcome {
    let limiter = limiter(&config(1.0, 1).max_wait(ms(60_000)))?;
    let begun = TokioClock.now();
    let wait = |key: u8| {
        let limiter = Rc::clone(&limiter);
        async move {
            limiter.acquire(&key).await.expect("within a minute");
            limiter.acquire(&key).await.expect("within a minute");
        }
    };
    tokio::join!(wait(1), wait(2), wait(3));
    assert_eq!(TokioClock.now() - begun, Duration::from_secs(1));
    Ok(())
}

#[test]
fn waiting_is_send() -> Outcome {
    fn assert_send(_: &impl Send) {}
    let limiter = Limiter::<String>::new(&Config::default())?;
    assert_send(&limiter.acquire("key"));
    Ok(())
}
