//! What the targets begin with: the tables of hostile requests, what is shipped in `conf/`, and a few tokens.

#[path = "../../gateway/tests/it/hostile/case.rs"]
#[expect(dead_code, reason = "what becomes of a request is for the gateway's own tests to see")]
mod case;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const TABLES: [&str; 8] = ["chunks", "framing", "headers", "paths", "sizes", "syntax", "targets", "upgrades"];

/// Unsigned (RFC 7515, A.5), signed by others (A.1), and in pieces.
const TOKENS: [&str; 6] = [
    "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    "eyJhbGciOiJIUzI1NiIsImtpZCI6IngiLCJjcml0IjpbIngiXX0.e30.AAAA",
    "..",
    "",
];

/// `GET a.x/a/b` of exact, parameter and prefix routes; of one of another method; of hosts beside each other.
const ROUTES: [&[u8]; 4] = [
    &[0, 2, 0, 1, 0, 0, 2, 0, 1, 0, 0, 0, 2, 0, 2, 0, 0, 0, 1, 0, 1, 0],
    &[0, 2, 0, 1, 0, 0, 2, 0, 1, 0, 2],
    &[0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 3, 1, 0, 1, 0],
    &[3, 0, 1, 0, 0, 1, 0],
];

/// Writes what the target of this name begins with into its corpus: the first directory among the program's arguments, where
/// libFuzzer too puts what it finds. An input that is tried again alone has none.
///
/// # Panics
/// When there is no such target, or the repository is not where it was built, or the directory cannot be written.
pub fn plant(target: &str) {
    let corpus = std::env::args_os().skip(1).map(PathBuf::from).find(|argument| argument.is_dir());
    let Some(corpus) = corpus else { return };
    for (number, seed) in seeds(target).iter().enumerate() {
        fs::write(corpus.join(format!("seed-{number}")), seed).expect("the directory can be written");
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let read = |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let upstream = SocketAddr::from(([127, 0, 0, 1], 1));
    let sent = || {
        TABLES.iter().flat_map(move |table| {
            let text = read(&root.join(format!("gateway/tests/it/hostile/{table}.http")));
            let text = String::from_utf8(text).expect("text");
            case::read(&text, "x.y.z", &upstream).into_iter().map(|case| case.sent)
        })
    };
    let behind_the_head =
        |sent: &[u8]| sent.windows(4).position(|end| end == b"\r\n\r\n").map(|end| sent[end + 4..].to_vec());
    let target_of = |sent: &[u8]| sent.split(|byte| *byte == b' ').nth(1).map(<[u8]>::to_vec);
    match target {
        "heads" => sent().collect(),
        "chunks" => sent().filter_map(|sent| Some([vec![2], behind_the_head(&sent)?].concat())).collect(),
        "paths" => sent().filter_map(|sent| target_of(&sent)).collect(),
        "requests" => sent()
            .filter_map(|sent| {
                let (line, rest) = sent.split_at(sent.iter().position(|byte| *byte == b'\n')?);
                let path =
                    String::from_utf8_lossy(&target_of(line)?).replace("/open/", "/plain/").replace("/mine/", "/made/");
                Some([path.as_bytes(), rest].concat())
            })
            .collect(),
        "config" => {
            let files = fs::read_dir(root.join("conf")).expect("conf/").map(|entry| entry.expect("an entry").path());
            files.filter(|path| path.extension().is_some_and(|kind| kind == "yaml")).map(|path| read(&path)).collect()
        }
        "routes" => ROUTES.iter().map(|routes| routes.to_vec()).collect(),
        "tokens" => TOKENS.iter().map(|token| token.as_bytes().to_vec()).collect(),
        _ => panic!("there is no target {target}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chunks, config, heads, paths, requests, routes, tokens};

    type Target = fn(&[u8]);

    #[test]
    fn every_target_keeps_its_promise_over_its_seeds() {
        let targets: [(&str, Target); 7] = [
            ("chunks", chunks),
            ("config", config),
            ("heads", heads),
            ("paths", paths),
            ("requests", requests),
            ("routes", routes),
            ("tokens", tokens),
        ];
        for (target, run) in targets {
            let seeds = seeds(target);
            assert!(seeds.len() > 2, "{target}");
            seeds.iter().for_each(|seed| run(seed));
        }
    }
}
