//! Chooses the encoding that a client likes best (RFC 9110, section 12.5.3).

use crate::config::file::Encoding;

/// A weight in thousandths.
type Weight = u16;

/// What the header calls `encoding`.
pub(super) const fn name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Gzip => "gzip",
        Encoding::Br => "br",
        Encoding::Zstd => "zstd",
    }
}

/// What a client has said of each encoding; none of those it has not named.
#[derive(Default)]
struct Weights {
    gzip: Option<Weight>,
    br: Option<Weight>,
    zstd: Option<Weight>,
    /// Of those that it has not named.
    any: Option<Weight>,
    /// Of the body as it is.
    identity: Option<Weight>,
}

/// The one of `ours` that `Accept-Encoding`, in as many `values` as were sent, gives most weight; of several the first. None
/// when it takes none of them, or would rather have the body as it is.
pub(super) fn choose<'v>(ours: &[Encoding], values: impl Iterator<Item = &'v [u8]>) -> Option<Encoding> {
    let mut weights = Weights::default();
    for item in values.flat_map(|value| value.split(|byte| *byte == b',')) {
        weights.note(item);
    }
    let mut best: Option<(Encoding, Weight)> = None;
    for &encoding in ours {
        let own = match encoding {
            Encoding::Gzip => weights.gzip,
            Encoding::Br => weights.br,
            Encoding::Zstd => weights.zstd,
        };
        let own = own.or(weights.any).unwrap_or(0);
        if own > best.map_or(0, |(_, weight)| weight) {
            best = Some((encoding, own));
        }
    }
    let plain = weights.identity.unwrap_or(0);
    best.filter(|(_, weight)| *weight >= plain).map(|(encoding, _)| encoding)
}

impl Weights {
    /// Notes `item` (`gzip;q=0.5`). A weight that cannot be read is none; of two for one encoding the first counts.
    fn note(&mut self, item: &[u8]) {
        let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        let place = if is("gzip") || is("x-gzip") {
            &mut self.gzip
        } else if is("br") {
            &mut self.br
        } else if is("zstd") {
            &mut self.zstd
        } else if is("*") {
            &mut self.any
        } else if is("identity") {
            &mut self.identity
        } else {
            return;
        };
        let weight = match (parts.next(), parts.next()) {
            (None, _) => 1000,
            (Some(parameter), None) => quality(parameter).unwrap_or(0),
            (Some(_), Some(_)) => 0,
        };
        place.get_or_insert(weight);
    }
}

/// `q=0.125` (section 12.4.2), in thousandths.
fn quality(parameter: &[u8]) -> Option<Weight> {
    let (name, value) = parameter.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (whole, decimals) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    if !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = decimals.iter().chain(b"000").take(3);
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + Weight::from(digit - b'0'));
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_and_the_order_decides_between_equals() {
        let ours = [Encoding::Zstd, Encoding::Br, Encoding::Gzip];
        for (accepted, chosen) in [
            (&[][..], None),
            (&[""], None),
            (&["gzip"], Some("gzip")),
            (&["x-gzip"], Some("gzip")),
            (&["GZIP"], Some("gzip")),
            (&["gzip, deflate, br, zstd"], Some("zstd")),
            (&["gzip", "br"], Some("br")),
            (&["gzip;q=1.0, br;q=0.8, *;q=0.1"], Some("gzip")),
            (&["gzip ; q=0.5 , br; Q=0.501"], Some("br")),
            (&["*"], Some("zstd")),
            (&["*, zstd;q=0"], Some("br")),
            (&["*;q=0"], None),
            (&["gzip;q=0"], None),
            (&["gzip;q=0.001"], Some("gzip")),
            (&["identity, gzip;q=0.5"], None),
            (&["identity;q=0.5, gzip;q=0.5"], Some("gzip")),
            (&["identity;q=0, deflate"], None),
            (&["deflate, compress"], None),
            (&["gzipped"], None),
            (&["gzip;q=abc"], None),
            (&["gzip;q=1.5"], None),
            (&["gzip;q=0.1234"], None),
            (&["gzip;q="], None),
            (&["gzip;level=1"], None),
        ] {
            let values = accepted.iter().map(|value| value.as_bytes());
            assert_eq!(choose(&ours, values).map(name), chosen, "{accepted:?}");
        }
        assert_eq!(choose(&[Encoding::Gzip], [&b"br, gzip;q=0.1"[..]].into_iter()).map(name), Some("gzip"));
    }
}
