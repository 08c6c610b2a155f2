//! One gateway and one key, step by step.

use super::*;

/// 1,000 tokens a second, and a life of a tenth of one.
const TERMS: Terms = Terms { interval: 1_000, burst: 900, overdraft: 0, life: 100_000 };
/// Of the gateway's clock.
const START: u64 = 5_000_000;
/// Of Redis' clock.
const AT: u64 = 1_800_000_000_000_000;

fn grants(tokens: u64, remaining: u64) -> Reply {
    Reply { tokens, remaining, reset: (TERMS.burst - remaining) * TERMS.interval, wait: 0, at: AT }
}

fn asks(answer: Answer) -> Ask {
    match answer {
        Answer::Ask(ask) | Answer::Pass { ask: Some(ask), .. } => ask,
        other => panic!("{other:?} instead of a call"),
    }
}

fn passes(answer: Answer) -> Stamp {
    match answer {
        Answer::Pass { spent, .. } => spent,
        other => panic!("{other:?} instead of a pass"),
    }
}

/// With so many tokens, just granted.
fn with(tokens: u64) -> Holding {
    let mut holding = Holding::new(TERMS, START);
    let ask = asks(holding.request(1, START));
    assert!(holding.answered(ask, grants(tokens + 1, 500), START, 0).is_some());
    holding
}

#[test]
fn the_first_request_of_a_key_asks_for_what_it_needs() {
    let mut holding = Holding::new(TERMS, START);
    let ask = asks(holding.request(3, START));
    assert_eq!(ask, Ask { at: START, need: 3, want: 3, is_ahead: false });
    let spent = holding.answered(ask, grants(3, 897), START + 500, 0);
    assert_eq!(spent, Some(Stamp { asked_at: START, granted_at: AT }));
    assert_eq!(holding.quota(START + 500), (897, 3_000));
    assert_eq!(holding.tally(), Tally { leased: 3, spent: 3, ..Tally::default() });
}

/// Whoever is told that he need not wait, is answered.
#[test]
fn what_is_said_of_a_request_beforehand_is_so() {
    let mut holding = Holding::new(TERMS, START);
    let (mut now, mut calls) = (START, 0);
    for number in 0..20_000_u64 {
        now += 20;
        let would_wait = holding.would_wait(1, now);
        let answer = holding.request(1, now);
        assert_eq!(would_wait, matches!(answer, Answer::Ask(_) | Answer::Wait), "{number}: {answer:?}");
        if let Answer::Ask(ask) | Answer::Pass { ask: Some(ask), .. } = answer {
            calls += 1;
            // Now and then there is little.
            let tokens = if calls % 3 == 0 { ask.need } else { 0 };
            let wait = if tokens == 0 { TERMS.interval } else { 0 };
            holding.answered(ask, Reply { wait, ..grants(tokens, 0) }, now, 7);
        }
    }
    assert!(calls > 10, "{calls}");
}

#[test]
fn a_busy_key_leases_what_it_needs_and_spends_it_without_a_call() {
    let mut holding = Holding::new(TERMS, START);
    let (mut now, mut calls) = (START, 0);
    for _ in 0..10_000 {
        now += 100;
        match holding.request(1, now) {
            Answer::Pass { ask: None, .. } => {}
            Answer::Pass { ask: Some(ask), .. } | Answer::Ask(ask) => {
                calls += 1;
                assert!(holding.answered(ask, grants(ask.want, 500), now, 0).is_some());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(calls < 50, "{calls} calls for ten thousand requests");
}

#[test]
fn the_next_lease_is_asked_for_before_this_one_is_spent() {
    let mut holding = with(100);
    let mut before_asking = 0;
    while let Answer::Pass { ask: None, .. } = holding.request(1, START + 10) {
        before_asking += 1;
    }
    assert_eq!(before_asking, 74, "a quarter is left");
    for _ in 0..25 {
        assert!(matches!(holding.request(1, START + 20), Answer::Pass { ask: None, .. }), "one call at a time");
    }
    assert_eq!(holding.request(1, START + 20), Answer::Wait);
}

#[test]
fn nothing_is_spent_once_its_life_is_over() {
    let mut holding = with(10);
    passes(holding.request(1, START + TERMS.spendable() - 1));
    assert!(matches!(holding.request(1, START + TERMS.spendable()), Answer::Ask(_)));
    let Tally { leased, spent, lost, .. } = holding.tally();
    assert_eq!((leased, spent, lost), (11, 2, 9));
}

#[test]
fn life_is_counted_from_before_the_call_and_not_from_the_answer() {
    let mut holding = Holding::new(TERMS, START);
    let ask = asks(holding.request(1, START));
    let late = START + TERMS.spendable() - 10;
    assert!(holding.answered(ask, grants(5, 500), late, 0).is_some());
    passes(holding.request(1, late + 9));
    assert!(matches!(holding.request(1, late + 10), Answer::Ask(_)));
}

#[test]
fn who_asked_passes_however_late_the_answer_is() {
    let mut holding = Holding::new(TERMS, START);
    let ask = asks(holding.request(2, START));
    let late = START + 3 * TERMS.life;
    assert!(holding.answered(ask, grants(5, 500), late, 0).is_some());
    assert!(matches!(holding.request(1, late), Answer::Ask(_)), "the rest is too old");
    assert_eq!(holding.tally().lost, 3);
}

#[test]
fn two_leases_are_spent_in_the_order_in_which_they_end() {
    let mut holding = with(8);
    let first = passes(holding.request(5, START + 10));
    let Answer::Ask(ask) = holding.request(4, START + 20) else { panic!("three are left") };
    let at = Reply { at: AT + 20, ..grants(6, 500) };
    assert!(holding.answered(ask, at, START + 20, 0).is_some());
    assert_eq!(passes(holding.request(4, START + 30)), first, "of both, so of the older");
    assert_eq!(passes(holding.request(1, START + 40)).granted_at, AT + 20);
}

#[test]
fn a_refused_key_is_refused_here_until_it_is_worth_a_call() {
    let mut holding = Holding::new(TERMS, START);
    let ask = asks(holding.request(1, START));
    let refusal = Reply { tokens: 0, remaining: 0, reset: 900_000, wait: 700, at: AT };
    assert_eq!(holding.answered(ask, refusal, START, 0), None);
    assert_eq!(holding.request(1, START + 800), Answer::Refuse { retry_after: 99_200 });
    assert!(matches!(holding.request(1, START + 100_000), Answer::Ask(_)));
}

#[test]
fn a_long_wait_is_waited_for() {
    let mut holding = Holding::new(TERMS, START);
    let ask = asks(holding.request(5, START));
    let refusal = Reply { tokens: 0, remaining: 3, reset: 900_000, wait: 3_000_000, at: AT };
    assert_eq!(holding.answered(ask, refusal, START, 0), None);
    assert_eq!(holding.request(5, START + 110_000), Answer::Refuse { retry_after: 2_890_000 });
    assert!(matches!(holding.request(3, START + 110_000), Answer::Ask(_)), "three are there");
}

#[test]
fn of_too_many_that_wait_the_last_are_refused() {
    let mut holding = Holding::new(TERMS, START);
    asks(holding.request(1, START));
    for _ in 0..MOST_WAITING {
        assert_eq!(holding.request(1, START), Answer::Wait);
    }
    assert!(matches!(holding.request(1, START), Answer::Refuse { .. }));
}

#[test]
fn what_is_left_is_still_spent_while_redis_does_not_answer() {
    let mut holding = with(1);
    asks(holding.request(2, START + 10));
    holding.is_unanswered(START + 20);
    assert_eq!(holding.request(2, START + 30), Answer::Unanswered);
    passes(holding.request(1, START + 40));
    assert_eq!(holding.request(1, START + 50), Answer::Unanswered);
    assert!(matches!(holding.request(1, START + 20_000), Answer::Ask(_)), "and it is asked again");
}

#[test]
fn what_nobody_asks_for_any_more_is_given_back_once() {
    let mut holding = with(300);
    assert_eq!(holding.tick(START + 1_000), None, "somebody was there just now");
    let give_back = holding.tick(START + 30_000).expect("worth it");
    assert_eq!((give_back.tokens, give_back.granted_at), (300, AT));
    assert!((30_000..31_000).contains(&give_back.age), "{give_back:?}");
    assert_eq!(holding.tick(START + 30_000), None);
    assert!(matches!(holding.request(1, START + 30_000), Answer::Ask(_)), "it is not here any more");
}

#[test]
fn what_would_be_worth_nothing_stays() {
    let mut holding = with(20);
    assert_eq!(holding.tick(START + 30_000), None, "as much has come back meanwhile");
    passes(holding.request(20, START + 30_000));
}

#[test]
fn what_was_not_spent_after_all_is_spent_by_others_while_it_lives() {
    let mut holding = with(2);
    let spent = passes(holding.request(2, START + 10));
    assert_eq!(holding.unspend(spent, 2, START + 20), None);
    passes(holding.request(2, START + 30));
    assert_eq!(holding.tally(), Tally { leased: 3, spent: 3, ..Tally::default() });
    let gone = Stamp { asked_at: START - 1_000, granted_at: AT - 1_000 };
    assert_eq!(holding.unspend(gone, 1, START + 30), None, "worth nothing any more");
    let give_back = holding.unspend(gone, 40, START + 30).expect("worth it");
    assert_eq!((give_back.tokens, give_back.granted_at), (40, AT - 1_000));
    assert!(matches!(holding.request(1, START + 40), Answer::Ask(_)), "never into a younger lease");
}

#[test]
fn what_costs_more_than_was_thought_is_taken_as_far_as_it_is_there() {
    let mut holding = with(5);
    assert_eq!(holding.spend_more(3, START + 10), 0);
    assert_eq!(holding.spend_more(3, START + 10), 1);
    assert!(matches!(holding.request(1, START + 20), Answer::Ask(_)));
}

#[test]
fn a_key_is_forgotten_when_nothing_of_it_is_left() {
    let mut holding = with(5);
    let later = START + 2 * TERMS.life;
    assert!(!holding.is_forgettable(START + 10));
    assert_eq!(holding.tick(later), None);
    assert!(holding.is_forgettable(later));
    asks(holding.request(1, later));
    assert!(!holding.is_forgettable(later + 3 * TERMS.life), "its answer is to come");
}
