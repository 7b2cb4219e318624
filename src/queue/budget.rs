//! The rate budget of a system, shared by its paths, probes and reconciliation: a token bucket that never lets more than
//! `count` requests into any span of `per`, and that obeys the receiver when it says how long to stay away, or how many
//! requests it still takes and until when.
//!
//! `Bucket` is pure (intervals are monotonic, so a step of the wall clock changes nothing); `Budget` is the shared handle,
//! held by `http::Outbound` and asked by `dispatch` and reconciliation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::model::RateLimit;

/// How long a receiver's window is taken to be where neither it nor the configuration says.
const UNSAID_SPAN: Duration = Duration::from_secs(1);

/// How long what only looks yields to deliveries before it takes its turn among them.
const YIELDED: Duration = Duration::from_secs(60);
/// A token that lies there for so long is one that no delivery wants.
const MOMENT: Duration = Duration::from_millis(5);

/// The state of one budget.
#[derive(Debug, Clone)]
pub struct Bucket {
    limit: Option<RateLimit>,
    /// Tokens at `at`; a fraction is a token in the making.
    tokens: f64,
    at: Instant,
    /// Nothing before this.
    blocked: Option<Instant>,
    /// What the receiver said is left of its window, less what began since; and when that window ends.
    window: Option<(usize, Instant)>,
}

impl Bucket {
    /// A full bucket.
    pub fn new(limit: Option<RateLimit>, now: Instant) -> Self {
        Self {
            tokens: limit.map_or(0.0, capacity),
            limit,
            at: now,
            blocked: None,
            window: None,
        }
    }

    /// Takes another limit over; what was learned from the receiver stays.
    pub fn set_limit(&mut self, limit: Option<RateLimit>, now: Instant) {
        if self.limit != limit {
            *self = Self {
                blocked: self.blocked,
                window: self.window,
                ..Self::new(limit, now)
            };
        }
    }

    /// How many requests may start now.
    pub fn available(&mut self, now: Instant) -> usize {
        self.fill(now);
        let left = self.window.map_or(usize::MAX, |(left, _)| left);
        match (self.blocked, self.limit) {
            (Some(_), _) => 0,
            (None, None) => left,
            (None, Some(_)) => left.min(self.tokens as usize),
        }
    }

    /// Takes `count` tokens that `available` said are there.
    pub fn take(&mut self, count: usize) {
        if self.limit.is_some() {
            self.tokens -= count as f64;
        }
        if let Some((left, _)) = &mut self.window {
            *left = left.saturating_sub(count);
        }
    }

    /// Gives tokens back that were not used.
    pub fn give_back(&mut self, count: usize) {
        if let Some(limit) = self.limit {
            self.tokens = (self.tokens + count as f64).min(capacity(limit));
        }
        if let Some((left, _)) = &mut self.window {
            *left = left.saturating_add(count);
        }
    }

    /// The receiver says that it takes `remaining` more requests in the next `reset` (none: it did not say, so it is the
    /// configured span, or a second). Inside a window that is known, only a smaller number counts: answers overtake each
    /// other, and what is under way is not in their numbers yet. Where none is left nothing starts before the end.
    pub fn left(&mut self, now: Instant, remaining: usize, reset: Option<Duration>) {
        self.fill(now);
        let span = reset
            .or(self.limit.map(|limit| limit.per))
            .unwrap_or(UNSAID_SPAN);
        let Some(end) = now.checked_add(span).filter(|end| *end > now) else {
            return;
        };
        self.window = Some(match self.window {
            // The end that was said first stays, so that a window that slides cannot starve us.
            Some((left, until)) if remaining > 0 => (left.min(remaining), until),
            Some((_, until)) => (0, until.max(end)),
            None => (remaining, end),
        });
    }

    /// The receiver asked to be left alone for that long.
    pub fn throttled(&mut self, now: Instant, asked: Duration) {
        let until = now.checked_add(asked);
        self.blocked = self.blocked.max(until);
        // What is in the bucket would all come at once afterwards.
        self.fill(now);
        self.tokens = self.tokens.min(1.0);
    }

    /// When a request may start; none if one may start now.
    pub fn next(&mut self, now: Instant) -> Option<Instant> {
        self.fill(now);
        let made = self.limit.and_then(|limit| {
            let missing = 1.0 - self.tokens;
            // A microsecond more than computed, so that rounding never wakes us before the token is whole.
            (missing > 0.0).then(|| {
                now + Duration::from_secs_f64(missing / rate(limit)) + Duration::from_micros(1)
            })
        });
        let used_up = self
            .window
            .and_then(|(left, until)| (left == 0).then_some(until));
        self.blocked.max(made).max(used_up)
    }

    fn fill(&mut self, now: Instant) {
        if self.blocked.is_some_and(|until| until <= now) {
            self.blocked = None;
        }
        if self.window.is_some_and(|(_, until)| until <= now) {
            self.window = None;
        }
        if let Some(limit) = self.limit {
            let passed = now.saturating_duration_since(self.at).as_secs_f64();
            self.tokens = (self.tokens + passed * rate(limit)).min(capacity(limit));
        }
        self.at = self.at.max(now);
    }
}

/// The most tokens at once: a tenth of the limit, so that a full bucket and what is made in a span stay within the limit.
fn capacity(limit: RateLimit) -> f64 {
    f64::from((limit.count / 10).max(1))
}

/// Tokens a second: with a full bucket at its start, a span (without its end) sees less than `count + 1` tokens.
fn rate(limit: RateLimit) -> f64 {
    let made = f64::from(limit.count.max(1)) - capacity(limit) + 1.0;
    made / limit.per.max(Duration::from_millis(1)).as_secs_f64()
}

/// A budget shared by all that talk to one system. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Mutex<Bucket>>);

impl Budget {
    /// A full budget.
    pub fn new(limit: Option<RateLimit>) -> Self {
        Self(Arc::new(Mutex::new(Bucket::new(limit, Instant::now()))))
    }

    /// See [`Bucket::set_limit`].
    pub fn set_limit(&self, limit: Option<RateLimit>) {
        self.bucket().set_limit(limit, Instant::now());
    }

    /// How many requests may start now.
    pub fn available(&self) -> usize {
        self.bucket().available(Instant::now())
    }

    /// Takes up to `wanted` tokens; returns how many.
    pub fn take(&self, wanted: usize) -> usize {
        let mut bucket = self.bucket();
        let count = bucket.available(Instant::now()).min(wanted);
        bucket.take(count);
        count
    }

    /// Gives unused tokens back.
    pub fn give_back(&self, count: usize) {
        self.bucket().give_back(count);
    }

    /// The receiver asked to be left alone for that long.
    pub fn throttled(&self, asked: Duration) {
        self.bucket().throttled(Instant::now(), asked);
    }

    /// See [`Bucket::left`].
    pub fn left(&self, remaining: usize, reset: Option<Duration>) {
        self.bucket().left(Instant::now(), remaining, reset);
    }

    /// When a request may start; none if one may start now.
    pub fn next(&self) -> Option<Instant> {
        self.bucket().next(Instant::now())
    }

    /// How long one token takes to be made; zero without a limit.
    pub fn pace(&self) -> Duration {
        let limit = self.bucket().limit;
        limit.map_or(Duration::ZERO, |limit| {
            Duration::from_secs_f64(1.0 / rate(limit))
        })
    }

    /// Waits for one token and takes it.
    pub async fn acquire(&self) {
        while self.take(1) == 0 {
            let next = self.next().unwrap_or_else(Instant::now);
            tokio::time::sleep_until(next).await;
        }
    }

    /// Waits for one token that deliveries leave over, and takes it: one that lay there for a moment beside half of what can
    /// be saved up, so that what only looks never holds up what carries. After a minute in vain it takes any.
    pub async fn acquire_behind(&self) {
        let patience = Instant::now() + YIELDED;
        let mut lay_there = false;
        while Instant::now() < patience {
            let left = {
                let mut bucket = self.bucket();
                let now = Instant::now();
                let kept = bucket.limit.map_or(0, |limit| capacity(limit) as usize / 2);
                let is_left = bucket.available(now) > kept;
                if is_left && (lay_there || bucket.limit.is_none()) {
                    bucket.take(1);
                    return;
                }
                is_left
            };
            lay_there = left;
            let later = Instant::now()
                + if left {
                    MOMENT
                } else {
                    self.pace().max(MOMENT)
                };
            let next = if left { None } else { self.next() };
            tokio::time::sleep_until(
                next.map_or(later, |next| next.clamp(later, patience.max(later))),
            )
            .await;
        }
        self.acquire().await;
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        // A bucket is whole after each statement: a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(count: u32, ms: u64) -> RateLimit {
        RateLimit {
            count,
            per: Duration::from_millis(ms),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_looks_leaves_half_to_deliveries_and_is_not_starved() {
        // Four can be saved up.
        let budget = Budget::new(Some(limit(40, 1000)));
        let start = Instant::now();
        budget.acquire_behind().await;
        budget.acquire_behind().await;
        assert_eq!(start.elapsed(), MOMENT * 2);
        assert_eq!(budget.take(4), 2, "deliveries find theirs");
        budget.give_back(2);
        budget.acquire_behind().await;
        assert!(start.elapsed() >= budget.pace(), "{:?}", start.elapsed());
        assert_eq!(budget.take(4), 2, "deliveries find theirs");
        // Deliveries that take all there is hold it up for a minute, and no longer.
        let start = Instant::now();
        let hog = async {
            loop {
                budget.take(4);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = hog => {}
            () = budget.acquire_behind() => {}
        }
        let waited = start.elapsed();
        assert!(waited >= YIELDED && waited < YIELDED * 2, "{waited:?}");
    }

    #[test]
    fn no_limit_lets_all_pass_until_the_receiver_objects() {
        let now = Instant::now();
        let mut bucket = Bucket::new(None, now);
        assert_eq!(bucket.available(now), usize::MAX);
        assert_eq!(bucket.next(now), None);
        bucket.throttled(now, Duration::from_secs(5));
        assert_eq!(bucket.available(now + Duration::from_secs(4)), 0);
        assert_eq!(bucket.next(now), Some(now + Duration::from_secs(5)));
        bucket.throttled(now, Duration::from_secs(2));
        assert_eq!(
            bucket.available(now + Duration::from_secs(4)),
            0,
            "a shorter wish does not shorten"
        );
        assert_eq!(bucket.available(now + Duration::from_secs(5)), usize::MAX);
    }

    #[test]
    fn a_receiver_that_objects_empties_the_bucket_and_unused_tokens_come_back() {
        let now = Instant::now();
        let mut bucket = Bucket::new(Some(limit(100, 1000)), now);
        assert_eq!(bucket.available(now), 10);
        bucket.take(10);
        assert_eq!(bucket.available(now), 0);
        bucket.give_back(20);
        assert_eq!(bucket.available(now), 10);
        bucket.throttled(now, Duration::ZERO);
        assert_eq!(bucket.available(now), 1);
        bucket.set_limit(Some(limit(5, 1000)), now);
        assert_eq!(bucket.available(now), 1);
    }

    #[test]
    fn what_the_receiver_says_is_left_is_never_exceeded_and_a_sliding_window_starves_nobody() {
        let (now, ten) = (Instant::now(), Some(Duration::from_secs(10)));
        let at = |ms| now + Duration::from_millis(ms);
        let mut bucket = Bucket::new(None, now);
        bucket.left(now, 3, ten);
        assert_eq!(bucket.available(now), 3);
        bucket.take(2);
        bucket.left(at(100), 3, ten);
        assert_eq!(
            bucket.available(at(100)),
            1,
            "an answer that was overtaken gives nothing back"
        );
        bucket.give_back(1);
        bucket.take(2);
        assert_eq!(
            (bucket.available(at(200)), bucket.next(at(200))),
            (0, Some(at(10_000)))
        );
        assert_eq!(bucket.available(at(10_000)), usize::MAX, "the window ended");

        bucket.left(at(11_000), 0, ten);
        bucket.left(at(11_001), 5, ten);
        assert_eq!(
            bucket.available(at(20_999)),
            0,
            "none left: nothing before the reset"
        );
        assert_eq!(bucket.next(at(20_999)), Some(at(21_000)));
        bucket.left(at(21_000), 0, Some(Duration::ZERO));
        assert_eq!(
            bucket.available(at(21_000)),
            usize::MAX,
            "a reset that has passed"
        );

        let mut limited = Bucket::new(Some(limit(100, 1000)), now);
        limited.left(now, 0, None);
        assert_eq!(limited.next(now), Some(at(1000)), "the configured span");
        limited.set_limit(Some(limit(50, 1000)), now);
        assert_eq!(limited.available(at(999)), 0, "a reload forgets nothing");
        assert!(limited.available(at(1000)) > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn acquire_waits_for_its_token() {
        let budget = Budget::new(Some(limit(2, 1000)));
        let start = Instant::now();
        for _ in 0..5 {
            budget.acquire().await;
        }
        let passed = start.elapsed();
        assert!(
            passed >= Duration::from_millis(2000) && passed < Duration::from_millis(2100),
            "{passed:?}"
        );
    }

    /// As the dispatcher takes them (what is there, and some of it given back) and as attempts under way do (one by one,
    /// waiting), at once: no span of a second, wherever it begins, sees more than the limit, and nobody starves.
    #[tokio::test(start_paused = true)]
    async fn all_who_share_a_budget_stay_within_it_together() {
        let budget = Budget::new(Some(limit(20, 1000)));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let note = |taken: &Mutex<Vec<Instant>>| taken.lock().unwrap().push(Instant::now());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (budget, taken) = (budget.clone(), Arc::clone(&taken));
            tasks.spawn(async move {
                for _ in 0..15 {
                    budget.acquire().await;
                    note(&taken);
                }
            });
        }
        let (claiming, claimed) = (budget.clone(), Arc::clone(&taken));
        tasks.spawn(async move {
            let mut left = 60;
            while left > 0 {
                let got = claiming.take(left.min(8));
                let used = got - got / 3;
                claiming.give_back(got - used);
                (0..used).for_each(|_| note(&claimed));
                left -= used;
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
        });
        while tasks.join_next().await.is_some() {}
        let taken = taken.lock().unwrap();
        assert_eq!(taken.len(), 120);
        for (n, first) in taken.iter().enumerate() {
            let span = taken[n..].iter();
            let within = span.take_while(|at| at.duration_since(*first) < Duration::from_secs(1));
            assert!(within.count() <= 20);
        }
        let took = taken[119].duration_since(taken[0]);
        assert!(took < Duration::from_secs(7), "{took:?}");
    }

    proptest! {
        #[test]
        fn no_span_sees_more_than_the_limit(count in 1_u32..200, per in 10_u64..10_000, steps in proptest::collection::vec((0_u64..500, 1_usize..50), 1..200)) {
            let limit = limit(count, per);
            let start = Instant::now();
            let mut bucket = Bucket::new(Some(limit), start);
            let mut now = start;
            let mut taken: Vec<Instant> = Vec::new();
            for (wait, wanted) in steps {
                now += Duration::from_millis(wait);
                let got = bucket.available(now).min(wanted);
                bucket.take(got);
                taken.extend(std::iter::repeat_n(now, got));
                let in_span = taken.iter().rev().take_while(|at| now.duration_since(**at) < limit.per).count();
                prop_assert!(in_span <= count as usize, "{} in one span of {:?}", in_span, limit);
            }
        }

        #[test]
        fn a_token_is_there_when_promised(count in 1_u32..200, per in 10_u64..10_000, wanted in 1_usize..50) {
            let now = Instant::now();
            let mut bucket = Bucket::new(Some(limit(count, per)), now);
            let got = bucket.available(now).min(wanted);
            bucket.take(got);
            let next = bucket.next(now).unwrap_or(now);
            prop_assert!(bucket.available(next) >= 1);
            prop_assert!(next - now <= Duration::from_millis(per) + Duration::from_millis(1));
        }
    }
}
