use super::*;
use crate::check::TYPES;
use crate::config::{self, Source};
use crate::model::outcome::Outcome;
use proptest::prelude::*;
use std::collections::HashMap;
use std::path::PathBuf;

/// A list of checks of which nothing is looked at, and what each of them said.
fn triaged(list: &str, said: &[(&str, State)], at: &str) -> Report {
    let text = said.iter().map(|(name, _)| {
        let keys: String = list
            .lines()
            .filter_map(|it| it.strip_prefix(&format!("{name}: ")))
            .map(|it| format!("{it}\n"))
            .collect();
        format!("[[check]]\nname = '{name}'\ntype = 'tcp'\nhost = 'h:1'\n{keys}")
    });
    let rest = list.find("[[").map_or("", |it| &list[it..]);
    let text = text.collect::<String>() + rest;
    let source = Source::new("list", text, PathBuf::new());
    let plan = config::parse(&[source]).unwrap_or_else(|it| panic!("{it}"));
    let looked = said.iter().map(|(name, state)| Looked {
        outcome: match state {
            State::Ok => Outcome::new("fine"),
            state => Outcome::of("x", *state, &format!("{name} says so")),
        },
        took: Duration::from_millis(5),
        age: None,
    });
    let ran = Ran {
        looked: looked.collect(),
        took: Duration::from_millis(9),
        stopped: None,
    };
    let at: jiff::Timestamp = at.parse().expect("a moment");
    let setting = Setting {
        host: "box1".to_owned(),
        at: at.into(),
        zone: TimeZone::UTC,
        origin: None,
        looks: Looks::Recorded,
        remarks: Vec::new(),
        pauses: vec![],
        samples: HashMap::new(),
        past: Ok(HashMap::new()),
    };
    report(plan, ran, setting)
}

const NOON: &str = "2026-11-24T12:00:00Z";
use State::{Critical as C, Ok as O, Unknown as U, Warning as W};

fn written(report: &Report) -> String {
    let mut text = Vec::new();
    let format = crate::format::Format::named("nagios").expect("there");
    (format.write)(report, &crate::format::Style::default(), &mut text).expect("a vector");
    String::from_utf8(text).expect("text")
}

fn said(report: &Report) -> (State, String) {
    let text = written(report);
    let first = text.lines().next().unwrap_or_default();
    let line = first.split_once(" - ").map_or("", |it| it.1);
    let line = line.split(" | ").next().unwrap_or_default();
    (report.state(), line.to_owned())
}

/// Keys of checks and tables, what each check said, and what the report says of it.
type Situation = (
    &'static str,
    &'static [(&'static str, State)],
    State,
    &'static str,
);

#[test]
fn situations_and_what_they_come_to() {
    let cases: &[Situation] = &[
        ("", &[("a", O), ("b", W)], W, "b: b says so; 1 OK"),
        // A cause stands for what is behind it, however far.
        (
            "b: needs = ['a']\nc: needs = ['b']\n",
            &[("a", C), ("b", C), ("c", W)],
            C,
            "a: a says so (2 checks behind it blocked)",
        ),
        // What is OK is never held back.
        (
            "b: needs = ['a']\n",
            &[("a", C), ("b", O)],
            C,
            "a: a says so; 1 OK",
        ),
        // A need that only warns is up.
        (
            "b: needs = ['a']\n",
            &[("a", W), ("b", C)],
            C,
            "b: b says so; 1 WARNING: a",
        ),
        (
            "b: needs = ['a']\n",
            &[("a", U), ("b", C)],
            U,
            "a: a says so (1 check behind it blocked)",
        ),
        // A ceiling wakes nobody, but what is behind is blocked all the same.
        (
            "a: at_most = 'warning'\nb: needs = ['a']\n",
            &[("a", C), ("b", C)],
            W,
            "a: a says so (1 check behind it blocked)",
        ),
        // Redundancy lost is told apart from a service that is down.
        (
            "[[group]]\nname = 'web'\nmembers = ['w*']\nup = '3,2'",
            &[("w1", O), ("w2", C), ("w3", O), ("db", O)],
            W,
            "web: redundancy lost: 2 of 3 up, down: w2; 1 OK",
        ),
        (
            "[[group]]\nname = 'web'\nmembers = ['w*']\nup = '3,2'",
            &[("w1", C), ("w2", C), ("w3", W), ("db", O)],
            C,
            "web: service down: 1 of 3 up, down: w1, w2, WARNING: w3 (w3 says so); 1 OK",
        ),
        // Judging together hides no warning: a member that has one is up, and seen.
        (
            "[[group]]\nname = 'web'\nmembers = ['w*']\nup = '2,1'",
            &[("w1", O), ("w2", O), ("w3", W), ("db", O)],
            W,
            "web: 3 of 3 up, WARNING: w3 (w3 says so); 1 OK",
        ),
        (
            "[[group]]\nname = 'web'\nmembers = ['w*']\nup = '2,1'",
            &[("w1", W), ("w2", C), ("w3", W)],
            W,
            "web: 2 of 3 up, down: w2, WARNING: w1, w3",
        ),
        (
            "[[group]]\nname = 'web'\nmembers = ['w*']\nup = ',1'\n[[group]]\nname = 'all'\nmembers = ['web', 'db']",
            &[("w1", W), ("w2", O), ("db", O)],
            W,
            "all: 2 of 2 up, WARNING: web (2 of 2 up, WARNING: w1 (w1 says so))",
        ),
        (
            "[[group]]\nname = 'web'\nmembers = ['w*']\nup = ',1'\ncounts = 'unknown'",
            &[("w1", W), ("w2", U)],
            W,
            "web: 2 of 2 up, UNKNOWN: w2, WARNING: w1",
        ),
        // What shall wake nobody does not through its group, either.
        (
            "w1: at_most = 'ok'\n[[group]]\nname = 'web'\nmembers = ['w*']\nup = ',1'",
            &[("w1", W), ("w2", O)],
            O,
            "1 check fine, slowest web 5 ms",
        ),
        (
            "[[group]]\nname = 'web'\nmembers = ['w*']\nup = ',1'\nat_most = 'ok'\n[[group]]\nname = 'all'\nmembers = ['web']",
            &[("w1", W), ("w2", O)],
            O,
            "1 check fine, slowest all 5 ms",
        ),
        (
            "[[group]]\nname = 'web'\nmembers = ['w*']\nup = ',1'\n[[window]]\nname = 'batch'\nwhen = 'Tue 11:00-13:00'\nmatch = 'w1'",
            &[("w1", W), ("w2", O)],
            O,
            "1 check fine, slowest web 5 ms",
        ),
        (
            "[[group]]\nname = 'web'\nmembers = ['w*']\nup = '60%,'",
            &[("w1", C), ("w2", O), ("w3", O), ("db", W)],
            W,
            "db: db says so; 1 OK",
        ),
        (
            "[[group]]\nname = 'web'\nmembers = ['w*']\ncounts = 'ok'",
            &[("w1", W), ("w2", O), ("db", O)],
            W,
            "web: redundancy lost: 1 of 2 up, down: w1; 1 OK",
        ),
        // All members behind one cause: the cause alone is told.
        (
            "w1: needs = ['r']\nw2: needs = ['r']\n[[group]]\nname = 'web'\nmembers = ['w*']",
            &[("r", C), ("w1", C), ("w2", C)],
            C,
            "r: r says so (3 checks behind it blocked)",
        ),
        // A group can be needed, and can have groups.
        (
            "x: needs = ['all']\n[[group]]\nname = 'web'\nmembers = ['w*']\n[[group]]\nname = 'all'\nmembers = ['web', 'db']\nup = ',2'",
            &[("w1", C), ("w2", C), ("db", O), ("x", C)],
            C,
            "all: service down: 1 of 2 up, down: web (1 check behind it blocked)",
        ),
        // In a window it is still said what is wrong.
        (
            "[[window]]\nname = 'batch'\nwhen = 'Tue 11:00-13:00'\nmatch = 'a'",
            &[("a", C), ("b", O)],
            O,
            "1 check fine, slowest b 5 ms; 1 tolerated: a",
        ),
        (
            "[[window]]\nname = 'batch'\nwhen = 'Tue 11:00-13:00'\nat_most = 'warning'",
            &[("a", C), ("b", O)],
            W,
            "a: in maintenance until 13:00 (batch): a says so; 1 OK",
        ),
        // What is in maintenance counts as up for others.
        (
            "b: needs = ['a']\n[[window]]\nname = 'batch'\nwhen = 'Tue 11:00-13:00'\nmatch = 'a'",
            &[("a", C), ("b", C)],
            C,
            "b: b says so; 1 OK",
        ),
        (
            "[[window]]\nname = 'office'\nhours = 'Mon-Fri 08:00-11:00'\nat_most = 'warning'",
            &[("a", C), ("b", O)],
            W,
            "a: in maintenance until Wed 08:00 (office): a says so; 1 OK",
        ),
    ];
    for (list, outcomes, state, line) in cases {
        let report = triaged(list, outcomes, NOON);
        assert_eq!(said(&report), (*state, (*line).to_owned()), "{list}");
    }
}

#[test]
fn what_a_group_holds_is_shown_below_the_first_line() {
    let group = "[[group]]\nname = 'web'\nmembers = ['w*']\nup = ',1'";
    let shown = |list: &str, outcomes: &[(&str, State)]| written(&triaged(list, outcomes, NOON));
    let text = shown(group, &[("w1", W), ("w2", O), ("db", O)]);
    assert!(text.contains("\n  WARNING - w1: w1 says so\n"), "{text}");
    let text = shown(group, &[("w1", C), ("w2", O), ("db", O)]);
    assert!(text.starts_with("OK - "), "{text}");
    assert!(
        text.contains("\nOK - web: 1 of 2 up, down: w1\n  CRITICAL - w1: w1 says so\n"),
        "{text}"
    );
    let tolerated = format!("w1: at_most = 'ok'\n{group}");
    let text = shown(&tolerated, &[("w1", W), ("w2", O), ("db", O)]);
    assert!(text.contains("\n  OK - w1: w1 says so\n"), "{text}");
    let text = shown(group, &[("w1", O), ("w2", O), ("db", O)]);
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn twenty_behind_one_cause_are_one_line_with_what_to_do() {
    let names: Vec<String> = (0..20).map(|it| format!("site{it}")).collect();
    let mut list: String = names
        .iter()
        .map(|it| format!("{it}: needs = ['router']\n"))
        .collect();
    list.push_str("router: action = 'power-cycle outlet 7'\n");
    let mut outcomes: Vec<(&str, State)> = names.iter().map(|it| (it.as_str(), C)).collect();
    outcomes.push(("router", C));
    let report = triaged(&list, &outcomes, NOON);
    assert_eq!(
        said(&report).1,
        "router: router says so (20 checks behind it blocked)"
    );
    assert_eq!(report.order.len(), 1);
    let text = written(&report);
    assert!(
        text.contains("  do: power-cycle outlet 7\n  blocked: site0, site1, "),
        "{text}"
    );
    assert_eq!(text.matches("CRITICAL").count(), 2, "{text}");
}

#[test]
fn causes_with_most_behind_them_stand_first() {
    let list = "c: needs = ['b']\nd: needs = ['b']\n";
    let report = triaged(list, &[("a", C), ("b", C), ("c", C), ("d", C)], NOON);
    assert_eq!(
        said(&report).1,
        "b: b says so (2 checks behind it blocked); 1 more CRITICAL: a"
    );
}

#[test]
fn a_part_of_a_group_counts_by_itself() {
    let source = "[[check]]\nname='w1'\ntype='tcp'\nhost='h:1'\n[[check]]\nname='w2'\ntype='tcp'\nhost='h:1'\n[[group]]\nname='web'\nmembers=['w*']";
    let plan = config::parse(&[Source::new("x", source.to_owned(), PathBuf::new())]);
    let plan = plan.unwrap_or_else(|it| panic!("{it}"));
    let jobs = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
        plan.clone().select(&words).map(|it| it.jobs.len())
    };
    assert_eq!(jobs(&["web"]), Ok(2));
    assert_eq!(jobs(&["w1"]), Ok(1));
    assert!(jobs(&["weeb"]).is_err_and(|it| it.contains("`web`")));
    let part = plan.clone().select(&["w1".to_owned()]).expect("one");
    assert!(group::whole(part).groups.is_empty());
}

/// A plan of checks that need some of those before them, and two groups over them.
fn any_plan() -> impl Strategy<Value = (Vec<Vec<usize>>, Vec<usize>, Vec<usize>)> {
    (2usize..12).prop_flat_map(|count| {
        let needs = (0..count)
            .map(|it| proptest::collection::vec(0..it.max(1), 0..(it.min(2) + 1)))
            .collect::<Vec<_>>();
        let states = proptest::collection::vec(0usize..4, count);
        let groups = proptest::collection::vec(0usize..4, count);
        (needs, states, groups)
    })
}

const STATES: [State; 4] = [O, W, C, U];

fn plan_of(needs: &[Vec<usize>], groups: &[usize], order: &[usize]) -> Plan {
    let job = |number: usize| Job {
        needs: needs[number]
            .iter()
            .filter(|it| **it < number)
            .map(|it| format!("c{it}"))
            .collect(),
        ..Job::new(
            &format!("c{number}"),
            TYPES[0],
            std::sync::Arc::new(Nothing),
        )
    };
    let members = |of: usize| -> Vec<String> {
        let all = order.iter().filter(|it| groups[**it] == of);
        all.map(|it| format!("c{it}")).collect()
    };
    let groups = [1, 2].into_iter().map(|it| (it, members(it)));
    let groups = groups
        .filter(|it| !it.1.is_empty())
        .map(|(number, members)| plan::Group {
            name: format!("g{number}"),
            label: format!("g{number}"),
            members,
            up: "100%,1".parse().expect("limits"),
            least: W,
            tags: vec![],
            at_most: None,
            owner: None,
            action: None,
            runbook: None,
        });
    Plan {
        jobs: order.iter().map(|it| job(*it)).collect(),
        groups: groups.collect(),
        ..Plan::default()
    }
}

struct Nothing;

impl crate::check::Check for Nothing {
    fn run(&self, _: &crate::check::Context) -> anyhow::Result<Outcome> {
        anyhow::bail!("nobody looks")
    }
}

fn run(plan: Plan, states: &HashMap<String, State>) -> Report {
    let looked = plan.jobs.iter().map(|it| Looked {
        outcome: match states[&it.name] {
            O => Outcome::new("fine"),
            state => Outcome::of("x", state, "bad"),
        },
        took: Duration::ZERO,
        age: None,
    });
    let ran = Ran {
        looked: looked.collect(),
        took: Duration::ZERO,
        stopped: None,
    };
    let setting = Setting {
        host: String::new(),
        at: SystemTime::UNIX_EPOCH,
        zone: TimeZone::UTC,
        origin: None,
        looks: Looks::Recorded,
        remarks: Vec::new(),
        pauses: vec![],
        samples: HashMap::new(),
        past: Ok(HashMap::new()),
    };
    report(plan, ran, setting)
}

fn states_of(states: &[usize]) -> HashMap<String, State> {
    let named = states.iter().enumerate();
    named
        .map(|(number, it)| (format!("c{number}"), STATES[*it]))
        .collect()
}

proptest! {
    #[test]
    fn every_outcome_is_accounted_for_exactly_once((needs, states, groups) in any_plan()) {
        let order: Vec<usize> = (0..states.len()).collect();
        let report = run(plan_of(&needs, &groups, &order), &states_of(&states));
        let own = report.entries.iter().filter(|it| it.part == Part::Own).count();
        prop_assert_eq!(report.order.len(), own);
        let mut behind: Vec<&String> = report.entries.iter().flat_map(|it| &it.behind).collect();
        behind.sort();
        let mut blocked: Vec<&String> = Vec::new();
        for entry in &report.entries {
            match &entry.part {
                Part::Own => (),
                Part::Member(group) => prop_assert!(report.entries.iter().any(|it| it.name == *group)),
                Part::Blocked(cause) => {
                    let cause = report.entries.iter().find(|it| it.name == *cause).expect("there");
                    prop_assert!(cause.behind.contains(&entry.name));
                    prop_assert!(!matches!(cause.part, Part::Blocked(_)), "a cause is no effect");
                    prop_assert!(entry.state != O, "what is OK is never blocked");
                    blocked.push(&entry.name);
                }
            }
        }
        blocked.sort();
        prop_assert_eq!(behind, blocked);
    }

    #[test]
    fn the_order_of_the_list_changes_no_verdict((needs, states, groups) in any_plan(), seed in any::<u64>()) {
        let order: Vec<usize> = (0..states.len()).collect();
        let mut other = order.clone();
        let mut seed = seed;
        for index in (1..other.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            other.swap(index, (seed >> 33) as usize % (index + 1));
        }
        let verdicts = |order: &[usize]| {
            let report = run(plan_of(&needs, &groups, order), &states_of(&states));
            let all = report.entries.iter().map(|it| (it.name.clone(), it.state, it.part.clone()));
            let mut all: Vec<(String, String)> = all.map(|it| (it.0, format!("{:?} {:?}", it.1, it.2))).collect();
            all.sort();
            (report.state(), all)
        };
        prop_assert_eq!(verdicts(&order), verdicts(&other));
    }

    #[test]
    fn another_failure_never_improves_the_report((needs, states, groups) in any_plan(), which in any::<prop::sample::Index>()) {
        let order: Vec<usize> = (0..states.len()).collect();
        let before = run(plan_of(&needs, &groups, &order), &states_of(&states)).state();
        let mut worse = states.clone();
        let which = which.index(states.len());
        worse[which] = 2;
        let after = run(plan_of(&needs, &groups, &order), &states_of(&worse)).state();
        // Only redundancy and a cause that is a tolerated member can swallow what was told before.
        if groups.iter().all(|it| *it != 1 && *it != 2) {
            prop_assert!(after.badness() >= before.badness(), "{:?} {:?}", before, after);
        }
    }
}

/// So many checks that fail, tied together in one way.
type Shape = fn(usize) -> Plan;

const SHAPES: &[(&str, Shape)] = &[
    ("by themselves", |count| failing(count, |_| vec![])),
    ("each behind the one before it", |count| {
        failing(count, |it| it.checked_sub(1).into_iter().collect())
    }),
    ("all behind one", |count| {
        failing(count, |it| if it > 0 { vec![0] } else { vec![] })
    }),
    ("in groups of ten", |count| Plan {
        groups: (0..count / 10).map(|it| tenth(it, vec![])).collect(),
        ..failing(count, |_| vec![])
    }),
    ("in groups, each in the next", |count| Plan {
        groups: (0..count / 10)
            .map(|it| {
                let before = it.checked_sub(1).map(|it| format!("g{it}"));
                tenth(it, before.into_iter().collect())
            })
            .collect(),
        ..failing(count, |_| vec![])
    }),
    ("in one window that names them", |count| Plan {
        windows: vec![always((0..count).map(|it| format!("c{it}")).collect())],
        ..failing(count, |_| vec![])
    }),
    ("in a window for each ten", |count| Plan {
        windows: (0..count / 10)
            .map(|it| always((it * 10..it * 10 + 10).map(|it| format!("c{it}")).collect()))
            .collect(),
        ..failing(count, |_| vec![])
    }),
    ("in windows of patterns and tags", |count| Plan {
        windows: ["c*9", "tag:odd", "c?5*"]
            .map(|it| always(vec![it.to_owned()]))
            .into(),
        ..failing(count, |_| vec![])
    }),
];

fn failing(count: usize, needs: fn(usize) -> Vec<usize>) -> Plan {
    let check: std::sync::Arc<dyn crate::check::Check> = std::sync::Arc::new(Nothing);
    let jobs = (0..count).map(|it| Job {
        needs: needs(it).iter().map(|it| format!("c{it}")).collect(),
        tags: if it % 2 == 1 {
            vec!["odd".to_owned()]
        } else {
            vec![]
        },
        ..Job::new(&format!("c{it}"), TYPES[0], check.clone())
    });
    Plan {
        jobs: jobs.collect(),
        ..Plan::default()
    }
}

fn tenth(number: usize, more: Vec<String>) -> plan::Group {
    let members = (number * 10..number * 10 + 10).map(|it| format!("c{it}"));
    plan::Group {
        name: format!("g{number}"),
        label: format!("g{number}"),
        members: members.chain(more).collect(),
        up: "100%,1".parse().expect("limits"),
        least: W,
        tags: vec![],
        at_most: None,
        owner: None,
        action: None,
        runbook: None,
    }
}

fn always(matches: Vec<String>) -> plan::Window {
    plan::Window {
        name: "always".to_owned(),
        when: crate::model::calendar::When::Between(jiff::Timestamp::MIN, jiff::Timestamp::MAX),
        zone: None,
        matches,
        at_most: W,
    }
}

/// The processor's time of this thread, so that what else runs here does not count.
fn cpu(work: impl Fn()) -> Duration {
    let now = || {
        let it = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(it.tv_sec as u64, it.tv_nsec as u32)
    };
    let begin = now();
    work();
    now() - begin
}

const FEW: usize = 500;
const TIMES: usize = 10;

/// Asserts that ten times as many cost about ten times as much, where the square would be a hundred times.
fn is_linear(what: &str, few: &dyn Fn(), many: &dyn Fn()) {
    // What else this machine does can only make one of the two slower for a moment.
    let mut tries = (0..5).map(|_| cpu(many).as_secs_f64() / cpu(few).as_secs_f64());
    let most = 3.0 * TIMES as f64;
    assert!(tries.any(|it| it < most), "{what}: more than {most} times");
}

#[test]
fn the_cost_after_a_run_grows_with_the_number_of_checks_and_not_with_its_square() {
    for (number, (word, shape)) in SHAPES.iter().enumerate() {
        let report_of = |count: usize| {
            let plan = shape(count);
            let states = plan.jobs.iter().map(|it| (it.name.clone(), C)).collect();
            move || run(plan.clone(), &states)
        };
        let (few, many) = (report_of(FEW), report_of(FEW * TIMES));
        is_linear(word, &|| drop(few()), &|| drop(many()));
        // What hangs together otherwise is written no other way.
        if [0, 1, 3].contains(&number) {
            let (few, many) = (few(), many());
            for format in crate::format::FORMATS {
                let style = crate::format::Style::default();
                let bytes = |report: &Report| assert!(!format.bytes(report, &style).is_empty());
                let what = format!("{word}, as {}", format.name);
                is_linear(&what, &|| bytes(&few), &|| bytes(&many));
            }
        }
    }
}
