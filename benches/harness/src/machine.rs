//! On what and with what a result was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use chrono::Utc;

use crate::process::output;

/// One paragraph: date, machine, versions.
pub(crate) fn describe(root: &Path, binaries: &Path) -> String {
    let named = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let profile = match (named(binaries), binaries.parent()) {
        (name, Some(parent)) if name == "guided" => format!("`{}`, guided by training", named(parent)),
        (name, _) => format!("`{name}`"),
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| field(&text, "model name"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| field(&text, "MemTotal"));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "Measured on {} at commit {}, profile {profile}. Machine: {}, {cores} cores, memory {}, Linux {}. \
         Pingora {}, {}, {}, {}, {}, {}, {}, {}.",
        Utc::now().format("%Y-%m-%d"),
        commit(root).as_deref().unwrap_or("unknown"),
        cpu.unwrap_or_else(|| "unknown processor".into()),
        memory.as_deref().and_then(gibibytes).unwrap_or_else(|| "unknown".into()),
        kernel.trim(),
        pingora(root).unwrap_or_else(|| "of unknown version".into()),
        said("haproxy", &["-v"]).map_or_else(|_| "no HAProxy".into(), |text| first_words(&text, 3)),
        said("nginx", &["-v"]).unwrap_or_else(|_| "no nginx".into()).replace("nginx version: ", ""),
        said("redis-server", &["--version"]).map_or_else(|_| "no Redis".into(), |text| first_words(&text, 3)),
        said("openssl", &["version"]).map_or_else(|_| "no OpenSSL".into(), |text| first_words(&text, 2)),
        said("wrk", &["-v"]).map_or_else(|_| "no wrk".into(), |text| first_words(&text, 2)),
        said("oha", &["--version"]).unwrap_or_else(|_| "no oha".into()),
        said("h2load", &["--version"]).unwrap_or_else(|_| "no h2load".into()),
    )
}

/// The commit, and whether anything but the results has been changed since.
fn commit(root: &Path) -> Result<String> {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(root).args(arguments);
        output(&git, None)
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let sources =
        ["status", "--porcelain", "--untracked-files=no", "--", ".", ":!benches/RESULTS.md", ":!benches/*.svg"];
    let dirty = if git(&sources)?.is_empty() { "" } else { "-dirty" };
    Ok(format!("{}{dirty}", commit.trim()))
}

/// What a program says of itself first, on whichever output.
fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned())
}

fn first_words(text: &str, count: usize) -> String {
    text.split_ascii_whitespace().take(count).collect::<Vec<_>>().join(" ")
}

/// The value behind `name` and a colon.
fn field(text: &str, name: &str) -> Option<String> {
    let (_, value) = text.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name))?;
    Some(value.trim().to_owned())
}

/// `16384000 kB` as people say it.
fn gibibytes(kilobytes: &str) -> Option<String> {
    let count: f64 = kilobytes.strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{:.0} GiB", count / 1024.0 / 1024.0))
}

/// The version that the lock file names.
fn pingora(root: &Path) -> Option<String> {
    let lock = fs::read_to_string(root.join("Cargo.lock")).ok()?;
    let (_, rest) = lock.split_once("name = \"pingora-core\"\nversion = \"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{field, first_words, gibibytes};

    #[test]
    fn fields_are_found_by_their_whole_name() {
        assert_eq!(
            field("model\t\t: 85\nmodel name\t: A CPU @ 2 GHz\n", "model name").as_deref(),
            Some("A CPU @ 2 GHz")
        );
        assert_eq!(field("model\t: 85\n", "model name"), None);
        assert_eq!(gibibytes("24684096 kB").as_deref(), Some("24 GiB"));
    }

    #[test]
    fn versions_are_cut_before_the_small_print() {
        assert_eq!(first_words("HAProxy version 2.6.12 2026/10/17 - https", 3), "HAProxy version 2.6.12");
    }
}
