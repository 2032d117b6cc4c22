//! Who makes this machine slow: what a person types first when somebody says "the server is slow".

use crate::host::Roots;
use crate::host::kernel;
use crate::host::processes::{self, Processes, Running};
use crate::model::quantity;
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

/// How many of each kind are named.
const NAMED: usize = 5;
/// How long processes are watched to see which of them use the CPU.
const WATCH: Duration = Duration::from_millis(300);

/// A first look at who uses CPU and disks; the second one tells.
pub struct Watch {
    at: Instant,
    processes: anyhow::Result<Processes>,
    disks: HashMap<String, u64>,
}

impl Watch {
    pub fn start(roots: &Roots) -> Watch {
        Watch {
            at: Instant::now(),
            disks: kernel::busy_disks(roots),
            processes: processes::read(roots),
        }
    }

    /// The busiest processes and block device since the start, and who waits in the kernel; waits
    /// until there is something to compare, but not beyond `deadline`. What cannot be seen is said.
    pub fn tell(self, roots: &Roots, deadline: Instant) -> Vec<String> {
        let until = (self.at + WATCH).min(deadline);
        thread::sleep(until.saturating_duration_since(Instant::now()));
        let after = processes::read(roots);
        let seconds = self.at.elapsed().as_secs_f64().max(1e-3);
        let disks = kernel::busy_disks(roots);
        let mut lines = match (self.processes, after) {
            (Ok(before), Ok(after)) => vec![busiest(&before, &after, seconds), blocked(&after)],
            (Err(error), _) | (_, Err(error)) => vec![Some(format!("no suspects: {error:#}"))],
        };
        lines.push(busiest_disk(&self.disks, &disks, seconds));
        lines.into_iter().flatten().collect()
    }
}

/// "by CPU: postgres (pid 812) 93%, …" of one CPU, for what used at least 1 %.
fn busiest(before: &Processes, after: &Processes, seconds: f64) -> Option<String> {
    let earlier: HashMap<(u32, u64), u64> = before
        .all
        .iter()
        .map(|it| ((it.pid, it.start), it.ticks))
        .collect();
    let per_second = processes::ticks_per_second();
    let own = std::process::id();
    let mut used: Vec<(f64, &Running)> = after
        .all
        .iter()
        .filter(|it| it.pid != own)
        .map(|it| {
            // One that has started since has used all of its time since.
            let before = earlier.get(&(it.pid, it.start)).copied().unwrap_or(0);
            let ticks = it.ticks.saturating_sub(before) as f64;
            (100.0 * ticks / per_second / seconds, it)
        })
        .filter(|it| it.0 >= 1.0)
        .collect();
    used.sort_by(|a, b| b.0.total_cmp(&a.0));
    let named = used.iter().take(NAMED);
    listed(
        "by CPU",
        named.map(|(share, it)| format!("{} {share:.0}%", who(it))),
    )
}

/// "by memory: java (pid 77) 3.1 GiB, …"
pub fn largest(processes: &Processes) -> Option<String> {
    let own = std::process::id();
    let others = processes.all.iter().filter(|it| it.pid != own);
    let mut all: Vec<&Running> = others.filter(|it| it.memory > 0).collect();
    all.sort_by_key(|it| std::cmp::Reverse(it.memory));
    let named = all.into_iter().take(NAMED);
    listed(
        "by memory",
        named.map(|it| format!("{} {}", who(it), quantity::bytes(it.memory as f64))),
    )
}

/// "waiting in the kernel: tar (pid 4711, nfs_wait_client), …"; state D of ps.
fn blocked(processes: &Processes) -> Option<String> {
    let all: Vec<&Running> = processes.all.iter().filter(|it| it.state == 'D').collect();
    let named = all.iter().take(NAMED).map(|it| match it.waits_in() {
        Some(place) => format!("{} (pid {}, {place})", it.name(), it.pid),
        None => who(it),
    });
    let line = listed("waiting in the kernel", named)?;
    Some(match all.len() {
        count if count > NAMED => format!("{line} and {} more", count - NAMED),
        _ => line,
    })
}

/// "busiest disk: sda 97%"
fn busiest_disk(
    before: &HashMap<String, u64>,
    after: &HashMap<String, u64>,
    seconds: f64,
) -> Option<String> {
    let share = |(name, busy): (&String, &u64)| {
        // The counter has 32 bits on old kernels and begins anew.
        let spent = (*busy as u32).wrapping_sub(*before.get(name)? as u32);
        Some((f64::from(spent) / seconds / 10.0, name.clone()))
    };
    let busiest = after
        .iter()
        .filter_map(share)
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    let (share, name) = busiest;
    (share >= 1.0).then(|| format!("busiest disk: {name} {:.0}%", share.min(100.0)))
}

fn who(it: &Running) -> String {
    format!("{} (pid {})", it.name(), it.pid)
}

fn listed(what: &str, items: impl Iterator<Item = String>) -> Option<String> {
    let items: Vec<String> = items.collect();
    (!items.is_empty()).then(|| format!("{what}: {}", items.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(pid: u32, ticks: u64, state: char, memory: u64) -> Running {
        Running {
            pid,
            short: b"worker".to_vec(),
            ticks,
            state,
            memory,
            ..Running::default()
        }
    }

    fn processes(all: Vec<Running>) -> Processes {
        Processes::new(all, Some(1e6))
    }

    #[test]
    fn who_used_most_since_stands_first() {
        let second = processes::ticks_per_second() as u64;
        let before = processes(vec![running(7, 1000, 'S', 0), running(8, 5000, 'S', 0)]);
        let after = processes(vec![
            running(7, 1000 + second, 'R', 0),
            running(8, 5000, 'S', 0),
            running(9, second / 2, 'R', 0),
        ]);
        let line = busiest(&before, &after, 2.0).expect("somebody");
        assert_eq!(line, "by CPU: worker (pid 7) 50%, worker (pid 9) 25%");
    }

    #[test]
    fn the_disk_counter_may_begin_anew() {
        let at = |busy: u64| HashMap::from([("sda".to_owned(), busy)]);
        let before = at(u64::from(u32::MAX) - 499);
        let line = busiest_disk(&before, &at(500), 2.0).expect("a disk");
        assert_eq!(line, "busiest disk: sda 50%");
        assert!(busiest_disk(&at(5), &at(5), 2.0).is_none());
    }

    #[test]
    fn memory_and_the_waiting_are_named() {
        let all = processes(vec![running(1, 0, 'D', 2048), running(2, 0, 'S', 4096)]);
        let line = largest(&all).expect("somebody");
        assert_eq!(
            line,
            "by memory: worker (pid 2) 4.0 KiB, worker (pid 1) 2.0 KiB"
        );
        let line = blocked(&all).expect("somebody");
        assert!(line.contains("(pid 1") && !line.contains("(pid 2"));
    }
}
