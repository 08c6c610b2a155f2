//! Gateways, one Redis, and all that can happen between them, in a time of their own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::super::batch::{GiveBack, Stamp};
use super::super::bucket::Bucket;
use super::super::holding::{Answer, Ask, Holding, Reply};
use super::super::terms::Terms;
use super::faults::{Broken, Faults};
use super::reference::{Promise, Spent};
use crate::limit::gcra::Gcra;

/// What a world has come to.
#[derive(Debug)]
pub(super) struct Ran {
    promise: Promise,
    over: i128,
    requests: u64,
    spent: u64,
    refused: u64,
    unanswered: u64,
    calls: u64,
    returns: u64,
    leased: u64,
}

pub(super) struct World {
    random: StdRng,
    faults: Faults,
    terms: Terms,
    now: u64,
    ends: u64,
    is_stormy: bool,
    /// Whether all answers are late, and not so late that nobody waits any more.
    is_slow: bool,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    numbered: u64,
    gateways: Vec<Gateway>,
    bucket: Bucket,
    /// Redis' clock is ahead of time by so much.
    ahead: i64,
    steps: Vec<(u64, u64)>,
    /// When, in true time, Redis has granted, by its clock's word.
    granted: HashMap<u64, u64>,
    /// What returns were worth too much because Redis' clock was set back while they were under way.
    set_back: u64,
    spent: Vec<Spent>,
    ran: Ran,
}

struct Gateway {
    holding: Holding,
    drift_ppm: i64,
    offset: u64,
    call: Option<u64>,
    /// Calls without an answer in time.
    late: HashSet<u64>,
    waiting: Vec<u64>,
    /// Between two requests.
    gap: u64,
    /// Which requests come as it was last decided.
    phase: u32,
    costs: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Request { gateway: usize, phase: u32 },
    Phase { gateway: usize, phase: u32 },
    Scene(Scene),
    Asked { gateway: usize, call: u64, ask: [u64; 4] },
    Answered { gateway: usize, call: u64, ask: [u64; 4], reply: [u64; 5], taken_at: u64 },
    Unanswered { gateway: usize, call: u64 },
    GivenBack { give_back: [u64; 3] },
    Tick { gateway: usize },
    Dies { gateway: usize },
    ClockIsSet,
}

/// What all gateways see in turns in a stormy world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scene {
    /// Some of them have some requests.
    Whisper,
    /// None has any.
    Silence,
    /// All have more than the limit allows.
    Storm,
    /// None has any, until the quota is whole.
    Rest,
}

impl World {
    /// A world of some gateways whose traffic changes all the time.
    pub(super) fn run(seed: u64, faults: Faults, broken: Broken) -> Ran {
        let mut random = StdRng::seed_from_u64(seed);
        let interval = [7, 100, 1_000, 50_000][random.random_range(0..4)];
        let burst = random.random_range(2..400);
        // Longer than a real one's, so that what is wrong shows sooner.
        let life = (interval * burst * random.random_range(1..40) / 100).max(2);
        let promise = Promise { interval, burst, life };
        let comes_back = if broken == Broken::BurstIsWhole { 0 } else { life.div_ceil(interval) };
        let terms = Terms { interval, burst: burst - comes_back, overdraft: 0, life };
        let mut world = Self::new(random, faults, terms, promise, 12 * life + 2 * interval * burst);
        world.is_stormy = world.random.random_bool(0.5);
        let gateways = world.random.random_range(1..6);
        for gateway in 0..gateways {
            world.born(gateway);
            if !world.is_stormy {
                world.schedule(0, Event::Phase { gateway, phase: 0 });
            }
            world.schedule(world.terms.life / 4, Event::Tick { gateway });
            if faults.gateways_die {
                let dies = world.random.random_range(0..4 * world.terms.life);
                world.schedule(dies, Event::Dies { gateway });
            }
        }
        if world.is_stormy {
            world.schedule(0, Event::Scene(Scene::Whisper));
        }
        if faults.clock_is_set {
            let set = world.random.random_range(0..world.ends);
            world.schedule(set, Event::ClockIsSet);
        }
        world.until_its_end()
    }

    /// Four gateways that are asked for `load` times the limit in all, evenly, without faults.
    pub(super) fn steady(limit: u64, window_seconds: u64, load: f64, seconds: u64) -> Ran {
        const GATEWAYS: usize = 4;
        let interval = (window_seconds * 1_000_000).div_ceil(limit);
        let window = Duration::from_secs(window_seconds);
        let most = u32::try_from(limit).expect("a limit");
        let terms = Terms::of(Gcra::new(most, window, most, false).expect("expressible"));
        assert!(terms.can_be_leased());
        let promise = Promise { interval, burst: limit, life: terms.life };
        let random = StdRng::seed_from_u64(limit);
        let mut world = Self::new(random, Faults::none(), terms, promise, seconds * 1_000_000);
        let gap = (interval as f64 * GATEWAYS as f64 / load) as u64;
        for gateway in 0..GATEWAYS {
            world.born(gateway);
            (world.gateways[gateway].gap, world.gateways[gateway].costs) = (gap, 1);
            world.schedule(gateway as u64 * gap / 4, Event::Request { gateway, phase: 0 });
            world.schedule(world.terms.life / 4, Event::Tick { gateway });
        }
        world.until_its_end()
    }

    fn new(random: StdRng, faults: Faults, terms: Terms, promise: Promise, ends: u64) -> Self {
        let ran =
            Ran { promise, over: 0, requests: 0, spent: 0, refused: 0, unanswered: 0, calls: 0, returns: 0, leased: 0 };
        Self {
            random,
            faults,
            terms,
            now: 0,
            ends,
            is_stormy: false,
            is_slow: false,
            events: BinaryHeap::new(),
            numbered: 0,
            gateways: Vec::new(),
            bucket: Bucket::default(),
            ahead: 1_800_000_000_000_000,
            steps: Vec::new(),
            granted: HashMap::new(),
            set_back: 0,
            spent: Vec::new(),
            ran,
        }
    }

    fn until_its_end(mut self) -> Ran {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > self.ends {
                break;
            }
            self.now = at;
            self.happens(event);
        }
        let excess = self.ran.promise.excess(&mut self.spent, &self.steps);
        self.ran.over = excess - i128::from(self.set_back);
        self.ran
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Phase { gateway, phase } => {
                if self.gateways[gateway].phase == phase {
                    self.begins_phase(gateway);
                }
            }
            Event::Scene(scene) => self.begins_scene(scene),
            Event::Request { gateway, phase } => {
                if self.gateways[gateway].phase == phase {
                    self.requested(gateway);
                }
            }
            Event::Asked { gateway, call, ask } => self.asked(gateway, call, ask_of(ask)),
            Event::Answered { gateway, call, ask, reply, taken_at } => {
                if self.gateways[gateway].call == Some(call) {
                    self.answered(gateway, ask_of(ask), reply_of(reply), taken_at);
                } else if self.gateways[gateway].late.remove(&call) {
                    self.answered_late(gateway, ask_of(ask), reply_of(reply));
                }
            }
            Event::Unanswered { gateway, call } => {
                if self.gateways[gateway].call == Some(call) {
                    let now = self.clock_of(gateway);
                    self.gateways[gateway].call = None;
                    self.gateways[gateway].late.insert(call);
                    self.gateways[gateway].holding.is_unanswered(now);
                    self.wake(gateway);
                }
            }
            Event::GivenBack { give_back: [tokens, granted_at, age] } => {
                self.given_back(GiveBack { tokens, granted_at, age });
            }
            Event::Tick { gateway } => {
                let now = self.clock_of(gateway);
                while let Some(give_back) = self.gateways[gateway].holding.tick(now) {
                    self.gives_back(give_back);
                }
                let again = self.terms.life / 4 + 1;
                self.schedule(again, Event::Tick { gateway });
            }
            Event::Dies { gateway } => {
                self.born(gateway);
                let again = self.random.random_range(0..6 * self.terms.life);
                self.schedule(again, Event::Dies { gateway });
                let phase = self.gateways[gateway].phase;
                if !self.is_stormy {
                    self.schedule(0, Event::Phase { gateway, phase });
                }
            }
            Event::ClockIsSet => {
                let by = self.random.random_range(1..2 * self.terms.life);
                if self.random.random_bool(0.5) {
                    self.ahead += by.cast_signed();
                    self.steps.push((self.now, by));
                } else {
                    self.ahead -= by.cast_signed();
                }
            }
        }
    }

    /// In place of the one before, of which nothing is left.
    fn born(&mut self, gateway: usize) {
        let drift = self.faults.drift_ppm;
        let drift_ppm = self.random.random_range(-drift..=drift);
        let offset = self.random.random_range(0..1_000_000);
        let phase = self.gateways.get(gateway).map_or(0, |before| before.phase + 1);
        let mut born = Gateway {
            holding: Holding::new(self.terms, 0),
            drift_ppm,
            offset,
            call: None,
            late: HashSet::new(),
            waiting: Vec::new(),
            gap: 0,
            phase,
            costs: 1,
        };
        born.holding = Holding::new(self.terms, born.clock(self.now));
        match self.gateways.get_mut(gateway) {
            Some(before) => *before = born,
            None => self.gateways.push(born),
        }
    }

    fn begins_scene(&mut self, scene: Scene) {
        let Terms { interval, burst, life, .. } = self.terms;
        let gap = (life / 2_000).max(1);
        for one in &mut self.gateways {
            (one.phase, one.costs) = (one.phase + 1, 1);
            one.gap = gap;
        }
        let (next, after) = match scene {
            Scene::Whisper => {
                self.is_slow = self.random.random_range(0..1_000) < self.faults.late_per_mille;
                for gateway in 0..self.gateways.len() {
                    let phase = self.gateways[gateway].phase;
                    if self.random.random_bool(0.5) {
                        self.schedule(0, Event::Request { gateway, phase });
                    }
                }
                (Scene::Silence, gap * self.random.random_range(1..=burst / 2 + 1))
            }
            Scene::Silence => (Scene::Storm, self.random.random_range(life / 2..=life * 3 / 2)),
            Scene::Storm => {
                self.is_slow = false;
                for gateway in 0..self.gateways.len() {
                    let phase = self.gateways[gateway].phase;
                    self.schedule(0, Event::Request { gateway, phase });
                }
                (Scene::Rest, gap * burst)
            }
            Scene::Rest => (Scene::Whisper, self.random.random_range(0..=interval * burst)),
        };
        self.schedule(after, Event::Scene(next));
    }

    fn begins_phase(&mut self, gateway: usize) {
        let Terms { interval, burst, life, .. } = self.terms;
        let gap = match self.random.random_range(0..6) {
            // Everything within a moment.
            0 | 1 => (life / 400).max(1),
            2 => interval.div_ceil(3),
            3 => interval * 2,
            4 => (interval * burst).div_ceil(5),
            _ => u64::MAX,
        };
        let costs = if self.random.random_bool(0.2) { burst.div_ceil(8).max(1) } else { 1 };
        let lasts = self.random.random_range(1..=life);
        let one = &mut self.gateways[gateway];
        one.phase += 1;
        (one.gap, one.costs) = (gap, costs);
        let phase = one.phase;
        // Not more than so many requests, whatever is decided.
        let lasts = lasts.min(gap.saturating_mul(300));
        if gap != u64::MAX {
            self.schedule(0, Event::Request { gateway, phase });
        }
        self.schedule(lasts, Event::Phase { gateway, phase });
    }

    fn requested(&mut self, gateway: usize) {
        let now = self.clock_of(gateway);
        let costs = self.gateways[gateway].costs;
        let cost = self.random.random_range(1..=costs);
        self.ran.requests += 1;
        let answer = self.gateways[gateway].holding.request(cost, now);
        self.heeds(gateway, cost, answer);
        let one = &self.gateways[gateway];
        let (gap, phase) = (one.gap, one.phase);
        self.schedule(gap, Event::Request { gateway, phase });
    }

    fn heeds(&mut self, gateway: usize, cost: u64, answer: Answer) {
        match answer {
            Answer::Pass { spent, ask } => {
                self.passes(self.now, cost);
                ask.into_iter().for_each(|ask| self.asks(gateway, ask));
                if self.random.random_range(0..1_000) < self.faults.unspent_per_mille {
                    self.was_not_spent(gateway, spent, cost);
                }
            }
            Answer::Ask(ask) => self.asks(gateway, ask),
            Answer::Wait => self.gateways[gateway].waiting.push(cost),
            Answer::Refuse { .. } => self.ran.refused += 1,
            Answer::Unanswered => self.ran.unanswered += 1,
        }
    }

    fn passes(&mut self, at: u64, tokens: u64) {
        self.ran.spent += tokens;
        self.spent.push(Spent { at, tokens });
    }

    fn was_not_spent(&mut self, gateway: usize, spent: Stamp, tokens: u64) {
        let now = self.clock_of(gateway);
        self.ran.spent -= tokens;
        self.spent.pop();
        if let Some(give_back) = self.gateways[gateway].holding.unspend(spent, tokens, now) {
            self.gives_back(give_back);
        }
    }

    fn asks(&mut self, gateway: usize, ask: Ask) {
        self.ran.calls += 1;
        self.numbered += 1;
        let call = self.numbered;
        self.gateways[gateway].call = Some(call);
        if let Some(delay) = self.delay() {
            let ask = [ask.at, ask.need, ask.want, u64::from(ask.is_ahead)];
            self.schedule(delay, Event::Asked { gateway, call, ask });
        }
        let deadline = self.terms.life / 2 + 1;
        self.schedule(deadline, Event::Unanswered { gateway, call });
    }

    fn asked(&mut self, gateway: usize, call: u64, ask: Ask) {
        let reply = self.bucket.take(self.terms, ask, self.redis_clock());
        self.granted.entry(reply.at).or_insert(self.now);
        self.ran.leased += reply.tokens;
        let life = self.terms.life;
        let delay = match self.is_slow {
            true => Some(self.random.random_range(life / 4..=life * 2 / 5)),
            false => self.delay(),
        };
        if let Some(delay) = delay {
            let ask = [ask.at, ask.need, ask.want, u64::from(ask.is_ahead)];
            let reply = [reply.tokens, reply.remaining, reply.reset, reply.wait, reply.at];
            self.schedule(delay, Event::Answered { gateway, call, ask, reply, taken_at: self.now });
        }
    }

    fn answered(&mut self, gateway: usize, ask: Ask, reply: Reply, taken_at: u64) {
        let now = self.clock_of(gateway);
        let random = self.random.random();
        self.gateways[gateway].call = None;
        let spent = self.gateways[gateway].holding.answered(ask, reply, now, random);
        match spent {
            // It passes because Redis said so, then.
            Some(_) if !ask.is_ahead => self.passes(taken_at, ask.need),
            None if !ask.is_ahead => self.ran.refused += 1,
            _ => {}
        }
        self.wake(gateway);
    }

    fn answered_late(&mut self, gateway: usize, ask: Ask, reply: Reply) {
        let stamp = Stamp { asked_at: ask.at, granted_at: reply.at };
        let give_back = GiveBack::of_request(self.terms, stamp, reply.tokens, self.clock_of(gateway));
        give_back.into_iter().for_each(|give_back| self.gives_back(give_back));
    }

    fn wake(&mut self, gateway: usize) {
        let now = self.clock_of(gateway);
        for cost in std::mem::take(&mut self.gateways[gateway].waiting) {
            let answer = self.gateways[gateway].holding.again(cost, now);
            self.heeds(gateway, cost, answer);
        }
    }

    fn gives_back(&mut self, give_back: GiveBack) {
        self.ran.returns += 1;
        if let Some(delay) = self.delay() {
            let GiveBack { tokens, granted_at, age } = give_back;
            self.schedule(delay, Event::GivenBack { give_back: [tokens, granted_at, age] });
        }
    }

    fn given_back(&mut self, give_back: GiveBack) {
        let redis_clock = self.redis_clock();
        let worth = self.bucket.give_back(self.terms, give_back, redis_clock);
        // Only a clock that is set back makes anything younger than it is.
        let reckoned = redis_clock.saturating_sub(give_back.granted_at).max(give_back.age);
        let age = self.now - self.granted[&give_back.granted_at];
        self.set_back += age.saturating_sub(reckoned).min(worth);
    }

    /// Until a message is there, if ever.
    fn delay(&mut self) -> Option<u64> {
        let Faults { lost_per_mille, late_per_mille, .. } = self.faults;
        if self.random.random_range(0..1_000) < lost_per_mille {
            return None;
        }
        let life = self.terms.life;
        let is_late = !self.is_stormy && self.random.random_range(0..1_000) < late_per_mille;
        let most = match self.random.random_range(0..2) {
            _ if !is_late => life / 1_000,
            0 => life / 2,
            _ => 3 * life,
        };
        Some(self.random.random_range(0..=most) + life / 5_000)
    }

    fn schedule(&mut self, after: u64, event: Event) {
        self.numbered += 1;
        self.events.push(Reverse((self.now.saturating_add(after), self.numbered, event)));
    }

    fn clock_of(&self, gateway: usize) -> u64 {
        self.gateways[gateway].clock(self.now)
    }

    fn redis_clock(&self) -> u64 {
        self.now.saturating_add_signed(self.ahead)
    }
}

impl Gateway {
    fn clock(&self, now: u64) -> u64 {
        let drift = i128::from(now) * i128::from(self.drift_ppm) / 1_000_000;
        self.offset + now.saturating_add_signed(i64::try_from(drift).expect("a short world"))
    }
}

impl Ran {
    /// By how many microseconds of the quota too much was spent.
    pub(super) const fn over(&self) -> i128 {
        self.over
    }

    pub(super) const fn life(&self) -> u64 {
        self.promise.life
    }

    pub(super) const fn spent(&self) -> u64 {
        self.spent
    }

    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(super) const fn requests(&self) -> u64 {
        self.requests
    }

    pub(super) const fn calls(&self) -> u64 {
        self.calls
    }

    pub(super) const fn leased(&self) -> u64 {
        self.leased
    }
}

const fn ask_of([at, need, want, is_ahead]: [u64; 4]) -> Ask {
    Ask { at, need, want, is_ahead: is_ahead == 1 }
}

const fn reply_of([tokens, remaining, reset, wait, at]: [u64; 5]) -> Reply {
    Reply { tokens, remaining, reset, wait, at }
}
