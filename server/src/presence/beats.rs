//! Beats in both directions, and how long answers take. Pure.
//!
//! Each side answers with its next beat, and says how long it held the one that it answers. What remains of the time
//! between is the way there and back, whatever the clocks of the two sides say.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Beats that may be unanswered before the oldest is forgotten.
const UNANSWERED: usize = 16;
/// Moments within an interval that beats are drawn to: few, so that many beats come together; some, so that they are no
/// crowd.
const STROKES: u32 = 8;
/// Round trips that the figures are made of.
const TRIPS: usize = 128;

/// "I am here."
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) sequence: u64,
    /// The newest beat of the other side. 0: none yet.
    pub(crate) answers: u64,
    /// How long ago that came.
    pub(crate) held: Duration,
}

/// What one side knows of the beats of both.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    sent: u64,
    unanswered: VecDeque<(u64, Instant)>,
    heard: Option<(u64, Instant)>,
    trips: VecDeque<Duration>,
}

impl Beats {
    /// The next beat to be sent.
    pub(crate) fn next(&mut self, now: Instant) -> Beat {
        self.sent += 1;
        if self.unanswered.len() == UNANSWERED {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((self.sent, now));
        let (answers, at) = self.heard.unwrap_or((0, now));
        Beat { sequence: self.sent, answers, held: now.saturating_duration_since(at) }
    }

    /// A beat of the other side has come.
    pub(crate) fn hear(&mut self, now: Instant, beat: Beat) {
        self.heard = Some((beat.sequence, now));
        let Some(place) = self.unanswered.iter().position(|(sequence, _)| *sequence == beat.answers) else {
            return;
        };
        let (_, at) = self.unanswered[place];
        self.unanswered.drain(..=place);
        if self.trips.len() == TRIPS {
            self.trips.pop_front();
        }
        self.trips.push_back(now.saturating_duration_since(at).saturating_sub(beat.held));
    }

    /// So many in a hundred of the last round trips took at most this long.
    pub(crate) fn trip(&self, percent: usize) -> Option<Duration> {
        let mut trips: Vec<Duration> = self.trips.iter().copied().collect();
        trips.sort_unstable();
        let last = trips.len().checked_sub(1)?;
        trips.get((trips.len() * percent).div_ceil(100).saturating_sub(1).min(last)).copied()
    }
}

/// How long from now, by the clock of the calendar, until the last stroke within the interval. All who beat at strokes
/// beat together, whenever they began.
pub(crate) fn until_stroke(now: Duration, interval: Duration) -> Duration {
    let step = (interval / STROKES).as_nanos().max(1);
    // Less than a step, and so less than the interval.
    let past = u64::try_from(now.as_nanos() % step).unwrap_or(0);
    interval.saturating_sub(Duration::from_nanos(past))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_trip_is_what_remains_without_the_time_that_a_beat_was_held() {
        let begin = Instant::now();
        let (mut here, mut there) = (Beats::default(), Beats::default());
        let first = here.next(begin);
        assert_eq!(first, Beat { sequence: 1, answers: 0, held: ms(0) });
        there.hear(begin + ms(3), first);
        let answer = there.next(begin + ms(2_003));
        assert_eq!((answer.answers, answer.held), (1, ms(2_000)));
        here.hear(begin + ms(2_007), answer);
        assert_eq!(here.trip(50), Some(ms(7)));
        assert_eq!(there.trip(50), None, "nobody has answered it yet");
    }

    #[test]
    fn whoever_beats_when_asked_to_beats_with_the_others() {
        let interval = ms(2_000);
        for begin in [0, 1, 249, 250, 1_777, 86_400_123] {
            let mut at = ms(begin);
            for _ in 0..5 {
                let wait = until_stroke(at, interval);
                assert!(wait > ms(1_750) && wait <= interval, "{wait:?} from {at:?}");
                // On its way for a while.
                at += wait + ms(3);
                assert_eq!(at.as_millis() % 250, 3);
            }
        }
        assert_eq!(until_stroke(ms(7), Duration::ZERO), Duration::ZERO);
        assert_eq!(until_stroke(Duration::MAX, Duration::from_nanos(3)), Duration::from_nanos(3));
    }

    #[test]
    fn an_answer_to_nothing_is_no_trip() {
        let begin = Instant::now();
        let mut here = Beats::default();
        here.hear(begin, Beat { sequence: 9, answers: 77, held: ms(5) });
        assert_eq!(here.trip(99), None);
        let beat = here.next(begin);
        here.hear(begin + ms(1), Beat { sequence: 10, answers: beat.sequence, held: ms(500) });
        assert_eq!(here.trip(99), Some(ms(0)), "who says that it held longer than that is not believed");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let begin = Instant::now();
        let mut here = Beats::default();
        for sequence in 1..=10_000 {
            let beat = here.next(begin);
            if sequence % 2 == 0 {
                here.hear(begin + ms(sequence), Beat { sequence, answers: beat.sequence, held: ms(0) });
            }
        }
        assert!(here.unanswered.len() <= UNANSWERED && here.trips.len() == TRIPS);
        assert_eq!(here.trip(100), Some(ms(10_000)));
        assert_eq!(here.trip(50), Some(ms(9_872)));
    }
}
