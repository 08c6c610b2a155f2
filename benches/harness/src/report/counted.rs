//! The tables of what is counted: instructions, system calls, memory.

use std::collections::BTreeMap;

use super::header;
use crate::memory::{CONNECTIONS, Look, Memory};
use crate::peer::Peer;
use crate::scenario::Scenario;
use crate::syscalls::Calls;
use crate::table::{table, whole};

/// What was counted for each peer, or why nothing was.
pub(crate) type Counts<T> = BTreeMap<Peer, Result<T, String>>;

/// Instructions per request, and the gateway's to each peer's.
pub(crate) fn instructions(all: &[(Scenario, Counts<f64>)]) -> String {
    let peers = peers(all.iter().map(|(_, counts)| counts));
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|(scenario, counts)| {
            let ours = counts.get(&Peer::Gateway).and_then(|count| count.as_ref().ok());
            let cell = |peer: &Peer| match (counts.get(peer), ours) {
                (Some(Ok(count)), Some(ours)) if *peer != Peer::Gateway => {
                    format!("{} ({:.2})", whole(*count), ours / count)
                }
                (Some(Ok(count)), _) => whole(*count),
                _ => "–".to_owned(),
            };
            std::iter::once(scenario.title.to_owned()).chain(peers.iter().map(cell)).collect()
        })
        .collect();
    format!(
        "Instructions in user mode per request (callgrind), and behind each peer's the gateway's divided by it. Under the \
         full chain, nginx checks no token and the empty Pingora only proxies. With many \
         tokens, no token comes twice. Under valgrind, cryptography does without the newest of the processor's instructions.\n\n{}",
        table(&header("instructions", peers.iter().map(|peer| peer.title())), &rows)
    )
}

/// System calls per request.
pub(crate) fn syscalls(all: &[(Scenario, Counts<Calls>)], connections: usize) -> String {
    let peers = peers(all.iter().map(|(_, counts)| counts));
    let mut text = format!("System calls per request (strace), {connections} connections.\n");
    for (scenario, counts) in all {
        let of = |peer: &Peer| counts.get(peer).and_then(|calls| calls.as_ref().ok());
        let mut names: Vec<&String> = peers.iter().filter_map(of).flat_map(BTreeMap::keys).collect();
        names.sort();
        names.dedup();
        let cell = |name: &str, peer: &Peer| {
            of(peer).and_then(|calls| calls.get(name)).map_or_else(String::new, |count| format!("{count:.2}"))
        };
        let row = |name: &&String| -> Vec<String> {
            std::iter::once((*name).clone()).chain(peers.iter().map(|peer| cell(name, peer))).collect()
        };
        let mut rows: Vec<_> = names.iter().map(row).collect();
        let sum = |peer: &Peer| {
            of(peer).map_or_else(|| "–".to_owned(), |calls| format!("{:.2}", calls.values().sum::<f64>()))
        };
        rows.push(std::iter::once("sum".to_owned()).chain(peers.iter().map(sum)).collect());
        text += &format!("\n{}", table(&header(scenario.title, peers.iter().map(|peer| peer.title())), &rows));
    }
    text
}

/// Resident memory.
pub(crate) fn memory(all: &[(Scenario, Counts<Memory>)]) -> String {
    let mut text = format!(
        "Resident memory: after the start, more for each of {} idle keep-alive connections, and after load with all \
         connections closed.\n",
        whole(CONNECTIONS as f64)
    );
    for (scenario, counts) in all {
        let row = |(peer, memory): (&Peer, &Result<Memory, String>)| -> Vec<String> {
            let cells = match memory {
                Ok(Memory { idle, per_connection, after_load }) => [
                    format!("{:.1}", idle / 1024.0),
                    format!("{per_connection:.1}"),
                    format!("{:.1}", after_load / 1024.0),
                ],
                Err(_) => ["–"; 3].map(str::to_owned),
            };
            std::iter::once(peer.title().to_owned()).chain(cells).collect()
        };
        let rows: Vec<_> = counts.iter().map(row).collect();
        text += &format!("\n{}", table(&[scenario.title, "idle MiB", "KiB per connection", "after load MiB"], &rows));
    }
    text
}

/// Resident memory over many requests.
pub(crate) fn soak(all: &[(Scenario, Counts<Vec<Look>>)]) -> String {
    let mut text = "Resident memory after so many requests, with all connections closed.\n".to_owned();
    for (scenario, counts) in all {
        for (peer, looks) in counts {
            let looks = looks.as_deref().unwrap_or_default();
            let row = |(requests, kib): &Look| vec![whole(*requests), format!("{:.1}", kib / 1024.0)];
            let title = format!("{}: requests to the {}", scenario.title, peer.title());
            text += &format!("\n{}", table(&[&title, "MiB"], &looks.iter().map(row).collect::<Vec<_>>()));
        }
    }
    text
}

fn peers<'c, T: 'c>(all: impl Iterator<Item = &'c Counts<T>> + Clone) -> Vec<Peer> {
    Peer::ALL.into_iter().filter(|peer| all.clone().any(|counts| counts.contains_key(peer))).collect()
}

#[cfg(test)]
mod tests {
    use super::{instructions, memory, soak, syscalls};
    use crate::memory::Memory;
    use crate::peer::Peer;
    use crate::scenario;

    #[test]
    fn instructions_are_told_with_the_ratio() {
        let counts = [(Peer::Gateway, Ok(90_000.0)), (Peer::Haproxy, Ok(60_000.0)), (Peer::Nginx, Err(String::new()))];
        let text = instructions(&[(scenario::all().remove(0), counts.into())]);
        assert!(text.contains("| plain | 90,000 | 60,000 (1.50) | – |"), "{text}");
    }

    #[test]
    fn calls_are_told_by_name_with_their_sum() {
        let ours = [("recvfrom".to_owned(), 2.0), ("write".to_owned(), 0.5)].into();
        let theirs = [("recvfrom".to_owned(), 2.0)].into();
        let counts = [(Peer::Gateway, Ok(ours)), (Peer::Nginx, Ok(theirs))].into();
        let text = syscalls(&[(scenario::all().remove(0), counts)], 8);
        assert!(text.contains("| recvfrom | 2.00 | 2.00 |\n| write | 0.50 |  |\n| sum | 2.50 | 2.00 |"), "{text}");
    }

    #[test]
    fn memory_is_told_in_readable_units() {
        let memory_of = Memory { idle: 10_240.0, per_connection: 29.25, after_load: 20_480.0 };
        let text = memory(&[(scenario::all().remove(0), [(Peer::Gateway, Ok(memory_of))].into())]);
        assert!(text.contains("| gateway | 10.0 | 29.2 | 20.0 |"), "{text}");
    }

    #[test]
    fn memory_over_many_requests_is_told_look_by_look() {
        let looks = vec![(1_000_000.0, 20_480.0), (2_000_001.0, 20_992.0)];
        let text = soak(&[(scenario::all().remove(0), [(Peer::Gateway, Ok(looks))].into())]);
        assert!(text.contains("| plain: requests to the gateway | MiB |"), "{text}");
        assert!(text.contains("| 1,000,000 | 20.0 |\n| 2,000,001 | 20.5 |"), "{text}");
    }
}
