//! The memory of this process, as Linux counts it.

/// The most memory that was resident so far, in MB.
pub fn peak() -> f64 {
    status("VmHWM:")
}

/// The memory that is resident now, in MB.
#[allow(dead_code, reason = "not both programs that share this file need it")]
pub fn resident() -> f64 {
    status("VmRSS:")
}

/// A line of `/proc/self/status`, which counts in units of 1,024 bytes; NaN on a system without it.
fn status(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let count = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    count.map_or(f64::NAN, |count| count * 1024.0 / 1e6)
}
