//! What the figures were measured on, and the clocks and sizes of this process.

use std::fs;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::failure::Failure;
use super::statistics::Times;

/// The machine and the program.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub version: &'static str,
    pub cpu: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    /// Load of the last minute when the bench began: others that want the same cores and disk.
    pub load: Option<f64>,
    /// Median time of writing 4 KiB and waiting for the disk, where the stores are, before the bench.
    pub disk_sync_us: f64,
    /// The same after it.
    pub disk_sync_after_us: f64,
    /// Built without optimisation: the figures mean nothing.
    pub unoptimised: bool,
}

impl Machine {
    /// Looks at the machine, and at the disk below `directory`.
    pub fn look(directory: &Path) -> Result<Self, Failure> {
        let disk_sync_us = disk_sync_us(directory)?;
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kib("/proc/meminfo", "MemTotal").unwrap_or(0),
            kernel: kernel(),
            load: load(),
            disk_sync_us,
            disk_sync_after_us: 0.0,
            unoptimised: cfg!(debug_assertions),
        })
    }

    /// Looks at the disk again.
    pub fn look_again(&mut self, directory: &Path) -> Result<(), Failure> {
        self.disk_sync_after_us = disk_sync_us(directory)?;
        Ok(())
    }

    pub fn line(&self) -> String {
        let memory = match self.memory_bytes {
            0 => "unknown memory".to_owned(),
            bytes => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
        };
        let load = self.load.map_or_else(String::new, |load| format!(" Load average at the start: {load:.2}."));
        format!(
            "pouw {} on {}, {} cores, {memory}, {}.{load}\nWriting and syncing 4 KiB took {:.2} ms before and {:.2} ms after.",
            self.version,
            self.cpu,
            self.cores,
            self.kernel,
            self.disk_sync_us / 1e3,
            self.disk_sync_after_us / 1e3
        )
    }
}

/// CPU time of all threads of this process, also of those that have ended.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    Duration::new(seconds, nanos)
}

/// Resident memory of this process, bytes; `None` where the system does not report it.
pub fn resident_bytes() -> Option<u64> {
    kib("/proc/self/status", "VmRSS")
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", std::env::consts::OS, release.trim()).trim_end().to_owned()
}

fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// The value of the first line `name: value`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

fn kib(path: &str, name: &str) -> Option<u64> {
    let value = field(path, name)?;
    value.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

const SYNCS: usize = 50;

fn disk_sync_us(directory: &Path) -> Result<f64, Failure> {
    let times = sync_times(directory).map_err(|error| {
        Failure::failed(format!("{}: {error}; choose another directory with --dir", directory.display()))
    })?;
    Ok(times.spread().p50_us)
}

fn sync_times(directory: &Path) -> io::Result<Times> {
    let mut file = tempfile::tempfile_in(directory)?;
    let mut times = Times::default();
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    Ok(times)
}

#[cfg(all(test, target_os = "linux"))]
#[allow(unused, reason = "run by tests/cli")]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_about_this_process() {
        assert!(resident_bytes().is_some_and(|bytes| (1 << 20..1 << 40).contains(&bytes)), "{:?}", resident_bytes());
        assert_eq!(field("/proc/self/status", "Nonsense"), None);
        assert_eq!(kib("/proc/self/status", "Name"), None);
    }

    #[test]
    fn cpu_time_counts_what_another_thread_did() {
        let before = cpu_time();
        let busy = std::thread::spawn(|| {
            let started = Instant::now();
            let own = || clock_gettime(ClockId::ThreadCPUTime);
            let begun = own();
            while own().tv_sec == begun.tv_sec
                && own().tv_nsec - begun.tv_nsec < 20_000_000
                && started.elapsed() < Duration::from_secs(30)
            {}
        });
        busy.join().expect("it ends");
        assert!(cpu_time().saturating_sub(before) >= Duration::from_millis(15));
    }
}
