//! What the kernel counts of the whole machine: load, CPU time, memory, pressure, disks (proc(5)).
//!
//! Read leniently, line by line: kernels older and newer than any list of fields are told apart by what
//! they have.

use crate::host::Roots;
use anyhow::{Context, anyhow};
use std::collections::HashMap;
use std::fs;

/// The load averages over 1, 5 and 15 minutes, and how many tasks run or want to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    pub averages: [f64; 3],
    pub runnable: u64,
    pub tasks: u64,
}

/// # Errors
/// Without /proc/loadavg.
pub fn load(roots: &Roots) -> anyhow::Result<Load> {
    let text = roots.read("loadavg")?;
    parse_load(&text).ok_or_else(|| odd(roots, "loadavg"))
}

fn parse_load(text: &str) -> Option<Load> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let number = |it: usize| fields.get(it)?.parse::<f64>().ok();
    let (runnable, tasks) = fields.get(3)?.split_once('/')?;
    Some(Load {
        averages: [number(0)?, number(1)?, number(2)?],
        runnable: runnable.parse().ok()?,
        tasks: tasks.parse().ok()?,
    })
}

/// Ticks that all CPUs together have spent since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Ticks {
    /// Programs, with low priority too; guests are among them.
    pub user: u64,
    /// The kernel, interrupts too.
    pub system: u64,
    pub idle: u64,
    /// Idle while a disk was waited for.
    pub iowait: u64,
    /// Taken by the machine that this virtual one runs on.
    pub steal: u64,
}

/// # Errors
/// Without /proc/stat.
pub fn ticks(roots: &Roots) -> anyhow::Result<Ticks> {
    let text = roots.read("stat")?;
    parse_ticks(&text).ok_or_else(|| odd(roots, "stat"))
}

fn parse_ticks(text: &str) -> Option<Ticks> {
    let line = text.lines().find_map(|it| it.strip_prefix("cpu "))?;
    let mut fields = [0_u64; 8];
    let numbers = line.split_whitespace().map(|it| it.parse().unwrap_or(0));
    fields.iter_mut().zip(numbers).for_each(|(to, it)| *to = it);
    let [user, nice, system, idle, iowait, irq, softirq, steal] = fields;
    Some(Ticks {
        user: user.saturating_add(nice),
        system: system.saturating_add(irq).saturating_add(softirq),
        idle,
        iowait,
        steal,
    })
}

/// Shares of the CPU time between two readings, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    pub user: f64,
    pub system: f64,
    pub iowait: f64,
    pub steal: f64,
    /// Everything but idle and iowait.
    pub busy: f64,
}

impl Ticks {
    /// What was spent since an earlier reading; `None` when no time has passed, or the machine has
    /// started anew.
    pub fn since(&self, before: &Ticks) -> Option<Shares> {
        // iowait may fall a little (proc(5)), which is nothing; what falls far began anew.
        let delta = |now: u64, before: u64| now.saturating_sub(before) as f64;
        if self.idle < before.idle || self.user < before.user {
            return None;
        }
        let user = delta(self.user, before.user);
        let system = delta(self.system, before.system);
        let iowait = delta(self.iowait, before.iowait);
        let steal = delta(self.steal, before.steal);
        let all = user + system + iowait + steal + delta(self.idle, before.idle);
        let share = |part: f64| (10_000.0 * part / all).round() / 100.0;
        (all > 0.0).then(|| Shares {
            user: share(user),
            system: share(system),
            iowait: share(iowait),
            steal: share(steal),
            busy: share(user + system + steal),
        })
    }
}

/// How many CPUs are online.
///
/// # Errors
/// Without /proc/stat.
pub fn cpus(roots: &Roots) -> anyhow::Result<usize> {
    let text = roots.read("stat")?;
    let is_cpu = |line: &&str| {
        let rest = line.strip_prefix("cpu").unwrap_or_default();
        rest.starts_with(|it: char| it.is_ascii_digit())
    };
    match text.lines().filter(is_cpu).count() {
        0 => Err(odd(roots, "stat")),
        count => Ok(count),
    }
}

/// Seconds since boot.
///
/// # Errors
/// Without /proc/uptime.
pub fn uptime(roots: &Roots) -> anyhow::Result<f64> {
    let text = roots.read("uptime")?;
    let first = text.split_whitespace().next();
    first
        .and_then(|it| it.parse().ok())
        .ok_or_else(|| odd(roots, "uptime"))
}

/// Seconds on the clock by which the kernel tells when processes have started (CLOCK_BOOTTIME: since boot, suspended
/// or not). /proc/uptime is another one where a container has an uptime of its own (lxcfs); only a copy of /proc has
/// nothing else to go by.
///
/// # Errors
/// As [`uptime`].
pub fn boot_clock(roots: &Roots) -> anyhow::Result<f64> {
    use rustix::fs::{PROC_SUPER_MAGIC, statfs};
    use rustix::time::{DynamicClockId, clock_gettime_dynamic};
    let is_kernels = statfs(&*roots.proc).is_ok_and(|it| it.f_type == PROC_SUPER_MAGIC);
    match clock_gettime_dynamic(DynamicClockId::Boottime) {
        Ok(now) if is_kernels => Ok(now.tv_sec as f64 + now.tv_nsec as f64 / 1e9),
        // Before Linux 2.6.39 there is no such clock.
        _ => uptime(roots),
    }
}

/// Seconds on the clock of systemd's monotonic stamps (CLOCK_MONOTONIC: while the machine is not suspended).
pub fn monotonic_clock() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Memory and swap in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    pub total: u64,
    /// What programs can still get without swapping; what kernels before Linux 3.14 do not tell is
    /// reckoned from what is free and what is only cached.
    pub available: u64,
    pub swap: u64,
    /// Unused swap, with what is in memory too and can be dropped at once, as check_swap counts.
    pub swap_free: u64,
}

/// # Errors
/// Without /proc/meminfo.
pub fn memory(roots: &Roots) -> anyhow::Result<Memory> {
    let text = roots.read("meminfo")?;
    parse_memory(&text).ok_or_else(|| odd(roots, "meminfo"))
}

fn parse_memory(text: &str) -> Option<Memory> {
    let fields: HashMap<&str, u64> = text
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(':')?;
            let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
            Some((name, kib.saturating_mul(1024)))
        })
        .collect();
    let field = |name: &str| fields.get(name).copied();
    let or_none = |name: &str| field(name).unwrap_or(0);
    let total = field("MemTotal")?;
    let reckoned = || {
        let cached = or_none("Cached").saturating_sub(or_none("Shmem"));
        let reclaimable = cached + or_none("Buffers") + or_none("SReclaimable");
        or_none("MemFree") + reclaimable
    };
    Some(Memory {
        total,
        available: field("MemAvailable").unwrap_or_else(reckoned).min(total),
        swap: or_none("SwapTotal"),
        swap_free: (or_none("SwapFree") + or_none("SwapCached")).min(or_none("SwapTotal")),
    })
}

/// How much of the last minute some task waited for a resource, in percent (pressure stall information,
/// Linux 4.20); `None` where the kernel does not tell.
pub fn pressure(roots: &Roots, resource: &str) -> Option<f64> {
    let text = fs::read_to_string(roots.proc.join("pressure").join(resource)).ok()?;
    let line = text.lines().find_map(|it| it.strip_prefix("some "))?;
    let average = line.split(' ').find_map(|it| it.strip_prefix("avg60="))?;
    average.parse().ok()
}

/// Milliseconds that each block device has been busy, by its name; partitions are left to their disks.
pub fn busy_disks(roots: &Roots) -> HashMap<String, u64> {
    let text = roots.read("diskstats").unwrap_or_default();
    let device = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let name = (*fields.get(2)?).to_owned();
        // Where /sys cannot be read, partitions are shown as well.
        let whole = roots.sys.join("block").join(name.replace('/', "!"));
        let known = whole.exists() || !roots.sys.join("block").exists();
        let busy = fields.get(12)?.parse().ok()?;
        known.then_some((name, busy))
    };
    text.lines().filter_map(device).collect()
}

/// The numbers of the signals that this process was started to ignore, or ignores since; none where the kernel does
/// not tell (proc(5), `SigIgn` of status).
pub fn ignored_signals() -> Vec<i32> {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = text.lines().find_map(|it| it.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|it| u64::from_str_radix(it.trim(), 16).ok());
    let bits = mask.unwrap_or(0);
    (1..=64).filter(|it| bits >> (it - 1) & 1 == 1).collect()
}

fn odd(roots: &Roots, name: &str) -> anyhow::Error {
    let path = roots.proc.join(name);
    anyhow!("{} is not as proc(5) describes it", path.display())
}

/// The version of the kernel.
///
/// # Errors
/// Without /proc/sys.
pub fn version(roots: &Roots) -> anyhow::Result<String> {
    let text = roots.read("sys/kernel/osrelease");
    Ok(text.context("no kernel version")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_read_with_its_tasks() {
        let load = parse_load("0.20 1.18 10.12 3/1042 11206\n").expect("a load");
        assert_eq!(load.averages, [0.2, 1.18, 10.12]);
        assert_eq!((load.runnable, load.tasks), (3, 1042));
        assert!(parse_load("1 2").is_none());
    }

    #[test]
    fn cpu_time_of_old_and_new_kernels() {
        let old = parse_ticks("cpu 10 1 5 100\n").expect("four fields");
        assert_eq!((old.user, old.system, old.idle, old.steal), (11, 5, 100, 0));
        let new = parse_ticks("cpu  20 2 10 200 40 1 2 7 9 9\ncpu0 1\n").expect("ten fields");
        assert_eq!((new.user, new.system, new.iowait), (22, 13, 40));
        let shares = new.since(&old).expect("time has passed");
        assert_eq!(shares.busy, 15.66);
        assert_eq!(shares.steal, 4.22);
        assert!(new.since(&new).is_none(), "no time has passed");
        assert!(old.since(&new).is_none(), "it has started anew");
    }

    #[test]
    fn memory_of_kernels_that_do_not_tell_what_is_available() {
        let new = "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\nSwapTotal: 50 kB\nSwapFree: 20 kB\nSwapCached: 5 kB\n";
        let memory = parse_memory(new).expect("memory");
        assert_eq!(memory.available, 400 << 10);
        assert_eq!((memory.swap, memory.swap_free), (50 << 10, 25 << 10));
        let old =
            "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 200 kB\nShmem: 30 kB\n";
        let memory = parse_memory(old).expect("memory");
        assert_eq!(memory.available, 320 << 10);
        assert!(parse_memory("MemFree: 1 kB").is_none());
    }
}
