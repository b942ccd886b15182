//! What a process costs, from Linux's `/proc`, and which machine this is.

use std::collections::BTreeMap;
use std::fs;

/// CPU time of a process at one moment.
#[derive(Debug)]
pub struct CpuTime {
    /// Nanoseconds by thread, user and system together.
    by_thread: BTreeMap<u32, u64>,
    /// The same for the whole process, ended threads among it, in hundredths of a second.
    ticks: u64,
}

impl CpuTime {
    pub fn of(process: u32) -> Self {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("this benchmark needs Linux's /proc");
        let by_thread = tasks.filter_map(|task| {
            let task = task.ok()?;
            let thread = task.file_name().to_str()?.parse().ok()?;
            let schedstat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            Some((thread, schedstat.split(' ').next()?.parse().ok()?))
        });
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
        // The name, in parentheses, may hold spaces: fields are counted from behind it. The twelfth and the
        // thirteenth of them are utime and stime.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Self { by_thread: by_thread.collect(), ticks }
    }

    /// Nanoseconds between an earlier moment and this one.
    pub fn since_ns(&self, before: &Self) -> u64 {
        if before.by_thread.keys().any(|thread| !self.by_thread.contains_key(thread)) {
            // What an ended thread used is only in the coarse count.
            return (self.ticks - before.ticks) * 10_000_000;
        }
        self.by_thread.iter().map(|(thread, ns)| ns - before.by_thread.get(thread).unwrap_or(&0)).sum()
    }
}

/// CPU time of this thread so far, nanoseconds.
pub fn own_thread_ns() -> u64 {
    // The system reports the time up to the thread's last yield.
    std::thread::yield_now();
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").expect("this benchmark needs Linux's /proc");
    schedstat.split(' ').next().and_then(|field| field.parse().ok()).expect("nanoseconds come first")
}

/// Resident memory of a process, KiB.
pub fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS is reported");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}

/// Processor, cores, memory, kernel.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
        line.map_or("unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let gib = memory.trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / f64::from(1 << 20);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{processor}, {cores} cores, {gib:.0} GiB, Linux {}", kernel.trim())
}

/// Processes that want to run, over the last minute: above the number of cores less this benchmark's own two,
/// other processes are measured too.
pub fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or("unknown").to_owned()
}
