//! When the next attempt is due: the path's delays with reproducible jitter, Retry-After, and protection from a clock that
//! was set back. Pure: it never asks for the time and never draws a random number. Called by `decide` and by `dispatch`.

use std::time::Duration;

use crate::ids::DeliveryId;
use crate::time::Timestamp;

/// What the jitter of one attempt is drawn from: the same attempt always gets the same delay, so a report can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its generation.
    pub generation: u32,
    /// The attempt that is being scheduled, from 1.
    pub attempt: u32,
}

impl Seed {
    /// A number in `[0, 1)`, spread evenly over seeds (SplitMix64's finaliser).
    fn unit(self) -> f64 {
        let mut x = (self.delivery.0 as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(u64::from(self.generation) << 32 | u64::from(self.attempt));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        (x >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// `delay` spread by `jitter` (a fraction, 0 to 1) to either side. Never negative, never more than `delay * (1 + jitter)`.
pub fn jittered(delay: Duration, jitter: f64, seed: Seed) -> Duration {
    let jitter = if jitter.is_finite() {
        jitter.clamp(0.0, 1.0)
    } else {
        0.0
    };
    // A factor in [0, 2): a delay of years still fits, and a finite product of finite non-negative numbers is what `mul_f64` wants.
    delay.mul_f64(1.0 - jitter + 2.0 * jitter * seed.unit())
}

/// The delay before the attempt after `charged` charged ones; none when the budget (the schedule's length) is used up.
///
/// `asked` is the receiver's Retry-After, already capped: the delay is never shorter than that.
pub fn delay(
    schedule: &[Duration],
    jitter: f64,
    charged: u32,
    asked: Option<Duration>,
    seed: Seed,
) -> Option<Duration> {
    let planned = jittered(*schedule.get(charged as usize)?, jitter, seed);
    Some(planned.max(asked.unwrap_or_default()))
}

/// The longest time that a delivery of a path may rightly have to wait for its next attempt.
pub fn longest(schedule: &[Duration], jitter: f64, retry_after_cap: Duration) -> Duration {
    let planned = schedule.iter().max().copied().unwrap_or_default();
    planned
        .mul_f64(1.0 + jitter.clamp(0.0, 1.0))
        .max(retry_after_cap)
}

/// How long to wait for `due`, given the `longest` wait that is possible: a later due time can only come from a clock
/// that has been set back since, and then the delivery is due now.
pub fn wait(now: Timestamp, due: Timestamp, longest: Duration) -> Duration {
    let wait = due.since(now);
    if wait > longest { Duration::ZERO } else { wait }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EventId;
    use proptest::prelude::*;

    fn seed(event: i64, attempt: u32) -> Seed {
        Seed {
            delivery: DeliveryId::new(EventId(event), 0),
            generation: 1,
            attempt,
        }
    }

    const SCHEDULE: [Duration; 3] = [
        Duration::ZERO,
        Duration::from_secs(5),
        Duration::from_secs(300),
    ];

    #[test]
    fn the_schedule_is_the_budget() {
        let of = |charged| delay(&SCHEDULE, 0.0, charged, None, seed(1, 1));
        assert_eq!(of(0), Some(Duration::ZERO));
        assert_eq!(of(2), Some(Duration::from_secs(300)));
        assert_eq!(of(3), None);
        assert_eq!(of(u32::MAX), None);
        assert_eq!(delay(&[], 0.2, 0, None, seed(1, 1)), None);
    }

    #[test]
    fn a_clock_set_back_does_not_stall_what_was_due() {
        let hour = Duration::from_secs(3600);
        let now = Timestamp(1_000_000_000);
        for (due, expected) in [
            (now - hour, Duration::ZERO),
            (now, Duration::ZERO),
            (now + hour / 2, hour / 2),
            (now + hour, hour),
            (now + hour * 2, Duration::ZERO),
        ] {
            assert_eq!(wait(now, due, hour), expected, "{due}");
        }
        let longest = longest(&SCHEDULE, 0.2, Duration::from_secs(10));
        assert_eq!(longest, Duration::from_secs(360));
    }

    #[test]
    fn jitter_spreads_over_its_whole_range() {
        let delays: Vec<f64> = (1..1000)
            .map(|n| jittered(Duration::from_secs(100), 0.2, seed(n, 1)).as_secs_f64())
            .collect();
        let (low, high) = delays.iter().fold((f64::MAX, 0.0_f64), |(low, high), d| {
            (low.min(*d), high.max(*d))
        });
        assert!(low < 81.0 && high > 119.0, "{low} {high}");
        let mean = delays.iter().sum::<f64>() / delays.len() as f64;
        assert!((99.0..101.0).contains(&mean), "{mean}");
    }

    proptest! {
        #[test]
        fn jitter_stays_in_its_bounds_and_is_the_same_each_time(
            ms in 0_u64..10_000_000_000, jitter in 0.0_f64..=1.0, event in 1_i64..i64::MAX / 512, attempt: u32, generation: u32,
        ) {
            let seed = Seed { delivery: DeliveryId::new(EventId(event), 3), generation, attempt };
            let delay = Duration::from_millis(ms);
            let got = jittered(delay, jitter, seed);
            prop_assert_eq!(got, jittered(delay, jitter, seed));
            // A microsecond for the rounding of floating point at ten million seconds.
            let slack = Duration::from_micros(1) + delay.mul_f64(1e-12);
            prop_assert!(got + slack >= delay.mul_f64(1.0 - jitter));
            prop_assert!(got <= delay.mul_f64(1.0 + jitter) + slack);
        }

        #[test]
        fn never_sooner_than_asked(asked in 0_u64..100_000_000, charged in 0_u32..5, event in 1_i64..1_000_000) {
            let asked = Duration::from_millis(asked);
            match delay(&SCHEDULE, 0.2, charged, Some(asked), seed(event, charged + 1)) {
                Some(delay) => prop_assert!(delay >= asked),
                None => prop_assert!(charged >= 3),
            }
        }

        #[test]
        fn waits_are_bounded_whatever_the_clock_does(now: i64, due: i64, longest_ms in 0_u64..u64::from(u32::MAX)) {
            let longest = Duration::from_millis(longest_ms);
            prop_assert!(wait(Timestamp(now), Timestamp(due), longest) <= longest);
        }
    }
}
