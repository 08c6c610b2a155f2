//! Which known name a misspelt one was likely meant to be.

/// The one of `known` that `text` is most likely a slip for, if any is near enough.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Bounds for what is no name at all: the distance costs the product of the lengths.
    const MOST_LETTERS: usize = 64;
    const MOST_NAMES: usize = 1000;
    let slips = |known: &str| strsim::osa_distance(text, known);
    let is_name = |known: &&str| known.len().max(text.len()) <= MOST_LETTERS;
    let near = known.into_iter().take(MOST_NAMES).filter(is_name).min_by_key(|known| slips(known))?;
    // A third of the letters: two slips in `orders`, one in `jwt`, none in `id`.
    (slips(near) * 3 <= near.chars().count().max(text.chars().count())).then_some(near)
}

/// `; did you mean ...?` for the nearest of `known`, or nothing.
pub fn did_you_mean<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(text, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// `did you mean ...?` for the nearest of `known`, or all of them.
pub fn suggestion(text: &str, known: &[&str]) -> String {
    match nearest(text, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_only_made_for_slips() {
        let known = ["user-service", "inventory-service", "jwt"];
        assert_eq!(nearest("user-servic", known), Some("user-service"));
        assert_eq!(nearest("jtw", known), Some("jwt"));
        assert_eq!(nearest("redis", known), None);
        assert_eq!(did_you_mean("xyz", []), "");
        assert_eq!(suggestion("jtw", &known), "did you mean `jwt`?");
        assert_eq!(suggestion("xyz", &known), "there are user-service, inventory-service, jwt");
        let long = "x".repeat(1 << 20);
        assert_eq!(nearest(&long, [long.as_str()]), None);
    }
}
